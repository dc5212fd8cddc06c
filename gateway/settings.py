"""Every setting of the gateway, read once from the environment (prefix ``GATEWAY_``)."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict
from redis.asyncio.connection import parse_url

from gateway.api_key import ApiKey
from gateway.secret_box import SecretBox
from gateway.tiers import Tiers
from servicekit.egress import WEB_PORTS
from servicekit.settings import (
    Address,
    Addresses,
    Exemptions,
    LogLevel,
    MaybeAddress,
    Names,
    Ports,
    ServiceSettings,
    Waits,
    split,
)
from servicekit.tls import PemFiles


class Settings(ServiceSettings):
    """Names and units as in the table of docs/settings.md; lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    listen: Address = Field(
        "127.0.0.1:50051", description="Address of the gRPC port; port 0 takes any."
    )
    http_listen: MaybeAddress = Field(
        "127.0.0.1:8080", description="Address of the HTTP port; empty: none."
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="redis://, rediss:// or unix:// address."
    )
    redis_ca_file: Path | None = Field(
        None,
        description="PEM file of those who may vouch for a rediss:// server; else the system's.",
    )
    tls_cert_file: Path | None = Field(
        None, description="PEM file of the certificate with its chain: TLS on both ports."
    )
    tls_key_file: Path | None = Field(None, description="PEM file of its key.")
    transcriber_ca_file: Path | None = Field(
        None, description="PEM file of those who may vouch for transcribers: TLS to them."
    )
    transcriber_cert_file: Path | None = Field(
        None, description="PEM file of the certificate that transcribers are shown."
    )
    transcriber_key_file: Path | None = Field(None, description="PEM file of its key.")
    max_streams_per_connection: int = Field(
        4000,
        ge=1,
        description="Calls open at a time on one connection; more wait at the client. All who "
        "follow batches over HTTP share one.",
    )
    api_key: SecretStr = Field(
        SecretStr(""), description="A key of the user `local` that needs no entry in Redis."
    )
    encryption_keys: SecretStr = Field(
        SecretStr(""),
        description="Keys that seal webhook secrets in Redis: the first one seals, all open. "
        "`python -m gateway secrets new-key` prints one.",
    )
    transcribers: Addresses = Field(
        ("127.0.0.1:50061",),
        description="Transcribers as host:port; every address behind a host name is used.",
    )
    default_model: str = Field("base", description="Model of videos that name none.")
    models: Names = Field((), description="Models accepted before a transcriber has offered them.")
    tiers: Tiers = Field(
        {},
        validate_default=True,
        description="What the users of each tier may do, as JSON: see [tiers](tiers.md).",
    )
    max_attempts: int = Field(
        4, ge=1, le=10, description="Attempts of a video before it has failed."
    )
    retry_base_seconds: float = Field(5, ge=0, description="Back-off of the first retry, at most.")
    retry_max_seconds: float = Field(300, ge=0, description="Back-off of any retry, at most.")
    item_timeout_seconds: float = Field(43_200, gt=0, description="Longest attempt of one video.")
    retention_days: float = Field(
        30, ge=0, description="Ended batches are kept so long; 0: for ever."
    )
    file_urls: bool = Field(
        False, description="Take file: addresses, which transcribers read below their media root."
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
    egress_ports: Ports = Field(WEB_PORTS, description="Ports that webhooks may be sent to.")
    egress_allow: Exemptions = Field(
        (),
        description="Receivers of webhooks that are not on the internet, as host:port or "
        "network:port; IPv6 in brackets, port * for any.",
    )
    heartbeat_seconds: float = Field(15, gt=0, description="Silence of a watch before a heartbeat.")
    watch_max_seconds: float = Field(
        3600, gt=0, description="A watch ends, to be resumed, after this."
    )
    drain_grace_seconds: float = Field(10, ge=0, description="Time for open calls on SIGTERM.")
    metrics_listen: MaybeAddress = Field(
        "",
        description="Address at which [metrics](telemetry.md) can be scraped, by anybody who "
        "reaches it; empty: none.",
    )
    reflection: bool = Field(True, description="Serve gRPC reflection, for grpcurl and buf curl.")
    log_level: LogLevel = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr) -> SecretStr:
        try:
            parse_url(value.get_secret_value())
        except ValueError:
            raise ValueError("an address begins with redis://, rediss:// or unix://") from None
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _check_encryption_keys(cls, value: SecretStr) -> SecretStr:
        try:
            SecretBox(split(value.get_secret_value()))
        except ValueError:
            raise ValueError("each key is 32 bytes in URL-safe base64") from None
        return value

    @property
    def secret_box(self) -> SecretBox:
        """What seals secrets in Redis."""
        return SecretBox(split(self.encryption_keys.get_secret_value()))

    @model_validator(mode="after")
    def _check_pairs(self) -> "Settings":
        for cert, key in (
            (self.tls_cert_file, self.tls_key_file),
            (self.transcriber_cert_file, self.transcriber_key_file),
        ):
            if (cert is None) != (key is None):
                raise ValueError("a certificate and its key are set together")
        return self

    @property
    def tls(self) -> PemFiles | None:
        """What this gateway shows its clients; None: nothing is encrypted."""
        return PemFiles(self.tls_cert_file, self.tls_key_file) if self.tls_cert_file else None

    @property
    def transcriber_tls(self) -> PemFiles | None:
        """How transcribers are spoken to; None: nothing is encrypted."""
        files = PemFiles(
            self.transcriber_cert_file, self.transcriber_key_file, self.transcriber_ca_file
        )
        return files if files.cert or files.ca else None

    @field_validator("api_key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not ApiKey.parse(value.get_secret_value()):
            raise ValueError("a key looks like bs_<id>_<secret>, with a secret of 32 signs or more")
        return value
