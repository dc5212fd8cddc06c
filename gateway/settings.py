"""Every setting of the gateway, read once from the environment (prefix ``GATEWAY_``)."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Names = Annotated[tuple[str, ...], NoDecode]
Waits = Annotated[tuple[Annotated[float, Field(ge=0)], ...], NoDecode]


class Settings(BaseSettings):
    """Names and units as in the table of docs/settings.md; lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    listen: str = Field(
        "127.0.0.1:50051", description="Address of the gRPC port; port 0 takes any."
    )
    http_listen: str = Field("127.0.0.1:8080", description="Address of the HTTP port; empty: none.")
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="redis://, rediss:// or unix:// address."
    )
    api_key: SecretStr = Field(SecretStr(""), description="The key that callers present.")
    api_key_file: Path | None = Field(None, description="File to read the key from instead.")
    transcribers: Names = Field(
        ("127.0.0.1:50061",),
        description="Transcribers as host:port; every address behind a host name is used.",
    )
    default_model: str = Field("base", description="Model of videos that name none.")
    models: Names = Field((), description="Models accepted before a transcriber has offered them.")
    max_videos_per_batch: int = Field(10, ge=1, le=500, description="Most videos in one batch.")
    max_attempts: int = Field(
        4, ge=1, le=10, description="Attempts of a video before it has failed."
    )
    retry_base_seconds: float = Field(5, ge=0, description="Back-off of the first retry, at most.")
    retry_max_seconds: float = Field(300, ge=0, description="Back-off of any retry, at most.")
    item_timeout_seconds: float = Field(43_200, gt=0, description="Longest attempt of one video.")
    retention_days: float = Field(
        30, ge=0, description="Ended batches are kept so long; 0: for ever."
    )
    webhook_allow_http: bool = Field(
        False, description="Let webhooks go to http addresses too, not only to https."
    )
    webhook_timeout_seconds: float = Field(
        15, gt=0, description="Time for a receiver to answer a webhook."
    )
    webhook_retry_seconds: Waits = Field(
        (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
        description="Waits between the attempts of a webhook, each give or take a fifth.",
    )
    heartbeat_seconds: float = Field(15, gt=0, description="Silence of a watch before a heartbeat.")
    watch_max_seconds: float = Field(
        3600, gt=0, description="A watch ends, to be resumed, after this."
    )
    drain_grace_seconds: float = Field(10, ge=0, description="Time for open calls on SIGTERM.")
    reflection: bool = Field(True, description="Serve gRPC reflection, for grpcurl and buf curl.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("transcribers", "models", "webhook_retry_seconds", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",") if name.strip())

    def key(self) -> str:
        """Return the key, from its file if one is set."""
        if self.api_key_file:
            return self.api_key_file.read_text().strip()
        return self.api_key.get_secret_value()
