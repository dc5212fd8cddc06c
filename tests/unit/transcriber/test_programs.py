"""What the children are told and what they see."""

from pathlib import Path

import pytest

from servicekit.egress import Egress
from transcriber import programs
from transcriber.settings import Settings
from transcriber.socks import SocksServer

HOME = Path("/scratch")


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
    clean: pytest.MonkeyPatch, visible: str, device: str, seen: str
) -> None:
    """The engine sees the device of that number among those that its transcriber may use."""
    clean.setenv("CUDA_VISIBLE_DEVICES", visible)
    engine = programs.engine(Settings(device=device), HOME)
    assert engine.environment["CUDA_VISIBLE_DEVICES"] == seen


def test_what_was_compiled_for_a_device_is_kept(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It lies where the models are, unless the operator has another place for it."""
    engine = programs.engine(Settings(model_dir=tmp_path), HOME)
    assert engine.environment["CUDA_CACHE_PATH"] == str(tmp_path / ".cuda")
    clean.setenv("CUDA_CACHE_PATH", "/elsewhere")
    engine = programs.engine(Settings(model_dir=tmp_path), HOME)
    assert engine.environment["CUDA_CACHE_PATH"] == "/elsewhere"


def test_who_reads_what_strangers_wrote_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the model hub reaches the engine alone, our settings reach no child."""
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("TRANSCRIBER_WORKER", "secret")
    settings = Settings()
    fetcher = programs.fetcher(settings, HOME, SocksServer(Egress((), ())))
    assert "secret" not in fetcher.environment.values()
    engine = programs.engine(settings, HOME)
    assert [name for name, value in engine.environment.items() if value == "secret"] == ["HF_TOKEN"]
