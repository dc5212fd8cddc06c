"""The children as programs."""

from pathlib import Path

import pytest

from servicekit.egress import WEB_PORTS, Egress
from transcriber import programs
from transcriber.settings import Settings
from transcriber.socks import SocksServer

_SECRETS = (
    "TRANSCRIBER_PROXY",
    "GATEWAY_API_KEY",
    "HF_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "https_proxy",
    "SSH_AUTH_SOCK",
)


def test_who_fetches_sees_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of the process that reads what strangers wrote holds no key and no proxy."""
    for name in _SECRETS:
        monkeypatch.setenv(name, "socks5://secret")
    network = SocksServer(Egress((), WEB_PORTS))
    program = programs.fetcher(Settings(), tmp_path, network)
    assert not set(_SECRETS) & set(program.environment)
    assert program.environment["HOME"] == program.environment["TMPDIR"] == str(tmp_path)
