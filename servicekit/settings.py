"""Settings from the environment, or from files where they are secrets.

``<PREFIX>SECRETS_DIR`` names a folder with a file for each, called as the variable in lower case:
the way in which Docker, Kubernetes and systemd hand secrets over.
"""

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)


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
    return "\n".join(
        f"{prefix}{'_'.join(map(str, found['loc'] or '*'))}: ".upper()
        + found["msg"].removeprefix("Value error, ")
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    )
