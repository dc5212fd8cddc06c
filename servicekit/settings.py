"""Settings from the environment, or from files where they are secrets.

``<PREFIX>SECRETS_DIR`` names a folder with a file for each, called as the variable in lower case:
the way in which Docker, Kubernetes and systemd hand secrets over.
"""

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from servicekit.egress import Exemption, exemption


def host_and_port(text: str) -> str:
    """Return ``text`` if it is host:port. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{text} is not host:port")
    return text


Address = Annotated[str, AfterValidator(host_and_port)]
# Empty: there is none.
MaybeAddress = Annotated[str, AfterValidator(lambda text: text and host_and_port(text))]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def split(text: str) -> tuple[str, ...]:
    """Return what stands between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _split(value: object) -> object:
    return split(value) if isinstance(value, str) else value


# Separated by commas.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Addresses = Annotated[tuple[Address, ...], NoDecode, BeforeValidator(_split)]
Ports = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode, BeforeValidator(_split)
]
Waits = Annotated[tuple[Annotated[float, Field(ge=0)], ...], NoDecode, BeforeValidator(_split)]
Exemptions = Annotated[
    tuple[Annotated[Exemption, BeforeValidator(exemption)], ...], NoDecode, BeforeValidator(_split)
]


class ServiceSettings(BaseSettings):
    """Base of the settings of a service; the environment goes before files."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        folder = os.environ.get(f"{cls.model_config['env_prefix']}SECRETS_DIR")
        files = SecretsSettingsSource(settings_cls, folder)
        return (init_settings, env_settings, files) if folder else (init_settings, env_settings)


def problems(settings: type[BaseSettings], error: ValidationError) -> str:
    """Return what is wrong with which variables, a line for each; no value is repeated."""
    prefix = settings.model_config["env_prefix"]
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "\n".join(
        f"{_place(prefix, one['loc'])}: {one['msg'].removeprefix('Value error, ')}" for one in found
    )


def _place(prefix: str, parts: tuple[int | str, ...]) -> str:
    name, *within = parts or ("*",)
    path = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in within)
    return f"{prefix}{name}".upper() + "".join(path)
