"""Writes ``docs/settings.md`` from the classes that read the settings: ``make docs``."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from gateway.settings import Settings as GatewaySettings
from transcriber.settings import Settings as TranscriberSettings

INTRODUCTION = """\
# Settings

Every setting is an environment variable, read once when a process starts; times and sizes have
their unit in the name, lists are separated by commas. Secrets may lie in files instead: in the
folder that `GATEWAY_SECRETS_DIR` or `TRANSCRIBER_SECRETS_DIR` names, under the name of the variable
in lower case. `batchscribe up` sets what its services need by itself. This page is written by
`make docs`.

## SDK and command line

| variable | meaning |
|---|---|
| `BATCHSCRIBE_SERVER` | The server: host:port, https://host:port for TLS; else `batchscribe up`. |
| `BATCHSCRIBE_API_KEY` | The key to present there. |
| `BATCHSCRIBE_CA_FILE` | PEM file of those who may vouch for the server: speak TLS. |
| `BATCHSCRIBE_DATA_DIR` | Folder of `batchscribe up`; else one in the user's data directory. |
| `BATCHSCRIBE_REDIS_URL` | A Redis for `batchscribe up` instead of its own. |
"""

SERVICES: dict[str, type[BaseSettings]] = {
    "Gateway (`python -m gateway`)": GatewaySettings,
    "Transcriber (`python -m transcriber`)": TranscriberSettings,
}


def shown(default: object) -> str:
    """Return a default as it would be written into the environment of any machine."""
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    if isinstance(default, bool):
        default = str(default).lower()
    if isinstance(default, Path):
        default = str(default).replace(tempfile.gettempdir(), "$TMPDIR")
    return "" if default in (None, "", {}, PydanticUndefined) else f"`{default}`"


def rows(settings: type[BaseSettings]) -> Iterator[str]:
    prefix = settings.model_config.get("env_prefix", "")
    for name, field in settings.model_fields.items():
        variable = f"{prefix}{name}".upper()
        yield f"| `{variable}` | {shown(field.default)} | {field.description} |"


def sections(services: dict[str, type[BaseSettings]]) -> Iterable[str]:
    for title, settings in services.items():
        head = ("| variable | default | meaning |", "|---|---|---|")
        yield "\n".join((f"## {title}", "", *head, *rows(settings))) + "\n"


def page() -> str:
    return "\n".join((INTRODUCTION, *sections(SERVICES)))


if __name__ == "__main__":
    print(page(), end="")
