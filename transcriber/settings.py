"""Every setting of a transcriber, read once from the environment (prefix ``TRANSCRIBER_``)."""

import os
import pwd
import socket
import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    DirectoryPath,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict
from python_socks import parse_proxy_url

from servicekit.egress import WEB_PORTS
from servicekit.settings import (
    Address,
    Exemptions,
    LogLevel,
    MaybeAddress,
    Names,
    Ports,
    ServiceSettings,
)
from servicekit.tls import PemFiles


def _user_to_become(name: str) -> str:
    if not name:
        return name
    if os.geteuid() != 0:
        raise ValueError("only a transcriber that runs as root can become another user")
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise ValueError(f"there is no user {name} on this machine") from None
    if user.pw_uid == 0:
        raise ValueError(f"{name} has all privileges, which is not the point")
    return name


class Settings(ServiceSettings):
    """Names and units as in the table of docs/settings.md; lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix="TRANSCRIBER_")

    listen: Address = Field(
        "127.0.0.1:50061", description="Address of the gRPC port; port 0 takes any."
    )
    tls_cert_file: Path | None = Field(
        None, description="PEM file of the certificate with its chain: TLS on the port."
    )
    tls_key_file: Path | None = Field(None, description="PEM file of its key.")
    tls_client_ca_file: Path | None = Field(
        None, description="PEM file of those who may vouch for gateways: others are not let in."
    )
    worker: str = Field(
        default_factory=socket.gethostname, description="Name for people; the host's by default."
    )
    slots: int = Field(4, ge=1, le=256, description="Videos at a time.")
    model_dir: Path = Field(Path("models"), description="Where models are looked for and kept.")
    models: Names = Field(("base",), min_length=1, description="Models offered, by name or path.")
    preload: Names = Field((), description="Models loaded at the start; the first one by default.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:1."
    )
    compute_type: str = Field(
        "", description="CTranslate2 compute type; empty: int8 on cpu, float16 on cuda."
    )
    cpu_threads: int = Field(0, ge=0, description="Threads for one batch on a CPU; 0 chooses.")
    model_bytes: int = Field(
        4 * 1024**3, gt=0, description="Most bytes of models in memory; one alone may be larger."
    )
    model_idle_seconds: float = Field(
        3600, gt=0, description="Time after which an unused model is unloaded."
    )
    work_dir: Path = Field(
        Path(tempfile.gettempdir(), "batchscribe-transcriber"),
        description="Where media lies while it is worked on.",
    )
    scratch_bytes: int = Field(
        32 * 1024**3, gt=0, description="Most bytes of media there, of all videos together."
    )
    max_media_bytes: int = Field(4 * 1024**3, gt=0, description="Most bytes of one download.")
    max_audio_seconds: float = Field(12 * 3600, gt=0, description="Longest audio of one video.")
    fetch_timeout_seconds: float = Field(
        3600, gt=0, description="Longest time for fetching and decoding one video."
    )
    silence_seconds: float = Field(
        600, gt=0, description="A child process that shows no sign of life so long hangs."
    )
    cancel_grace_seconds: float = Field(
        60, ge=0, description="Time for a cancelled video to stop before its child is killed."
    )
    recycle_videos: int = Field(
        1000, ge=1, description="A child process is replaced after so many videos."
    )
    engine_growth_bytes: int = Field(
        8 * 1024**3,
        gt=0,
        description="The engine is replaced once it has grown by so much, killed at twice that.",
    )
    fetch_growth_bytes: int = Field(
        1024**3, gt=0, description="The same for the process that fetches and decodes."
    )
    site_videos: int = Field(
        8, ge=1, description="Videos fetched at a time from one site, such as youtube.com."
    )
    site_interval_seconds: float = Field(
        0, ge=0, description="Shortest time from one fetch to the next from the same site."
    )
    cookies_file: Path | None = Field(None, description="Cookies for yt-dlp, Netscape format.")
    proxy: SecretStr = Field(
        SecretStr(""),
        description="Upstream proxy for fetching: http://, socks4:// or socks5:// address.",
    )
    egress_ports: Ports = Field(WEB_PORTS, description="Ports that media may be fetched from.")
    egress_allow: Exemptions = Field(
        (),
        description="Sources of media that are not on the internet, as host:port or "
        "network:port; IPv6 in brackets, port * for any.",
    )
    fetch_user: Annotated[str, AfterValidator(_user_to_become)] = Field(
        "",
        description="User that the process that fetches and decodes becomes, such as nobody; "
        "needs a transcriber that runs as root. Empty: the same user.",
    )
    require_network_namespace: bool = Field(
        False,
        description="Do not start where the process that fetches gets no "
        "[network of its own](security.md); otherwise the log says so.",
    )
    media_root: DirectoryPath | None = Field(
        None, description="Directory below which file: addresses may be read; none by default."
    )
    drain_grace_seconds: float = Field(
        30, ge=0, description="Time for running videos to end on SIGTERM."
    )
    metrics_listen: MaybeAddress = Field(
        "",
        description="Address at which [metrics](telemetry.md) can be scraped, by anybody who "
        "reaches it; empty: none.",
    )
    reflection: bool = Field(True, description="Serve gRPC reflection, for grpcurl and buf curl.")
    log_level: LogLevel = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("proxy")
    @classmethod
    def _check_proxy(cls, value: SecretStr) -> SecretStr:
        try:
            if value.get_secret_value():
                parse_proxy_url(value.get_secret_value())
        except ValueError:
            raise ValueError(
                "a proxy looks like http://host:port, socks4://... or socks5://..., "
                "with %23 and the like for special signs of a password"
            ) from None
        return value

    @model_validator(mode="after")
    def _check_tls(self) -> "Settings":
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file are set together")
        if self.tls_client_ca_file and not self.tls_cert_file:
            raise ValueError("tls_client_ca_file needs tls_cert_file")
        return self

    @model_validator(mode="after")
    def _check_preload(self) -> "Settings":
        if unknown := set(self.preload) - set(self.models):
            raise ValueError(f"preload names models that are not offered: {sorted(unknown)}")
        return self

    @property
    def tls(self) -> PemFiles | None:
        """What this transcriber shows gateways, and asks of them; None: nothing is encrypted."""
        if self.tls_cert_file is None:
            return None
        return PemFiles(self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file)

    @property
    def fetch_owner(self) -> tuple[int, int] | None:
        """Ids of the user and group of what is fetched; None for those of this process."""
        if not self.fetch_user:
            return None
        user = pwd.getpwnam(self.fetch_user)
        return user.pw_uid, user.pw_gid

    @property
    def preloaded(self) -> tuple[str, ...]:
        """The models to load at the start."""
        return self.preload or self.models[:1]
