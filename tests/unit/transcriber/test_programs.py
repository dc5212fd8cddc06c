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
        monkeypatch.setenv(name, "socks5://secret:1080")
    network = SocksServer(Egress((), WEB_PORTS))
    program = programs.fetcher(Settings(), tmp_path, network)
    assert not set(_SECRETS) & set(program.environment)
    assert program.environment["HOME"] == program.environment["TMPDIR"] == str(tmp_path)


def test_the_engine_alone_has_the_key_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of all that is secret around a transcriber the engine sees what it loads models with."""
    settings = Settings()
    for name in _SECRETS:
        monkeypatch.setenv(name, "secret")
    assert set(_SECRETS) & set(programs.engine(settings, tmp_path).environment) == {"HF_TOKEN"}


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_CACHE_PATH"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("visible", "device", "seen"),
    [("", "cuda:1", "1"), ("2,3", "cuda:1", "3"), ("2,3", "cuda", "2,3"), ("2", "cuda:1", "1")],
)
def test_a_transcriber_has_one_device(
    clean: pytest.MonkeyPatch, tmp_path: Path, visible: str, device: str, seen: str
) -> None:
    """The engine sees the device of that number among those that its transcriber may use."""
    clean.setenv("CUDA_VISIBLE_DEVICES", visible)
    engine = programs.engine(Settings(device=device), tmp_path)
    assert engine.environment["CUDA_VISIBLE_DEVICES"] == seen


def test_what_was_compiled_for_a_device_is_kept(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It lies where the models are, unless the operator has another place for it."""
    engine = programs.engine(Settings(model_dir=tmp_path), tmp_path)
    assert engine.environment["CUDA_CACHE_PATH"] == str(tmp_path / ".cuda")
    clean.setenv("CUDA_CACHE_PATH", "/elsewhere")
    engine = programs.engine(Settings(model_dir=tmp_path), tmp_path)
    assert engine.environment["CUDA_CACHE_PATH"] == "/elsewhere"
