"""Writes ``docs/settings.md`` from the classes that read the settings: ``make docs``."""

from collections.abc import Iterable, Iterator

from pydantic import SecretStr
from pydantic_settings import BaseSettings
from transcriber.settings import Settings as TranscriberSettings

from gateway.settings import Settings as GatewaySettings

INTRODUCTION = """\
# Settings

Every setting is an environment variable, read once when a process starts; times and sizes have
their unit in the name, lists are separated by commas. `batchscribe up` sets what its services need
by itself. This page is written by `make docs`.

## SDK and command line

| variable | meaning |
|---|---|
| `BATCHSCRIBE_SERVER` | The server, as host:port; else what `batchscribe up` runs here. |
| `BATCHSCRIBE_API_KEY` | The key to present there. |
| `BATCHSCRIBE_DATA_DIR` | What `batchscribe up` keeps; else a folder in the user's data. |
| `BATCHSCRIBE_REDIS_URL` | A Redis for `batchscribe up` instead of its own. |
"""

SERVICES: dict[str, type[BaseSettings]] = {
    "Gateway (`python -m gateway`)": GatewaySettings,
    "Transcriber (`python -m transcriber`)": TranscriberSettings,
}


def shown(default: object) -> str:
    """Return a default as it would be written into the environment."""
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, tuple | list | frozenset):
        default = ",".join(str(value) for value in default)
    if isinstance(default, bool):
        default = str(default).lower()
    return "" if default in (None, "") else f"`{default}`"


def rows(settings: type[BaseSettings]) -> Iterator[str]:
    prefix = settings.model_config.get("env_prefix", "")
    for name, field in settings.model_fields.items():
        default = shown(field.get_default(call_default_factory=True))
        yield f"| `{f'{prefix}{name}'.upper()}` | {default} | {field.description} |"


def sections(services: dict[str, type[BaseSettings]]) -> Iterable[str]:
    for title, settings in services.items():
        head = ("| variable | default | meaning |", "|---|---|---|")
        yield "\n".join((f"## {title}", "", *head, *rows(settings))) + "\n"


def page() -> str:
    return "\n".join((INTRODUCTION, *sections(SERVICES)))


if __name__ == "__main__":
    print(page(), end="")
