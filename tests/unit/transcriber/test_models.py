"""Where a model's files are found."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from transcriber import models
from transcriber.failures import VideoFailure


def _model(directory: Path) -> Path:
    directory.mkdir(parents=True)
    (directory / "model.bin").write_bytes(b"weights")
    return directory


@pytest.fixture
def pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two installed packages with a model cut in two; returns the model's name."""
    packages = tmp_path / "packages"
    for package, part in (("half_1", b"first"), ("half_2", b"second")):
        folder = packages / package / "data"
        folder.mkdir(parents=True)
        (packages / package / "__init__.py").touch()
        (folder / f"model.bin.part{package[-1]}").write_bytes(part)
    (folder / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(str(packages))
    wheels = models.Wheels(("half_1", "half_2"), "data", hashlib.sha256(b"firstsecond").hexdigest())
    monkeypatch.setattr(models, "IN_WHEELS", {"cut": wheels})
    return "cut"


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    """A name may be a path."""
    directory = _model(tmp_path / "mine")
    assert models.find(str(directory), tmp_path / "models") == directory


def test_the_model_directory_wins_over_wheels(tmp_path: Path) -> None:
    """What the operator puts into the model directory is used."""
    directory = _model(tmp_path / "tiny.en")
    assert models.find("tiny.en", tmp_path) == directory


def test_a_wheel_holds_tiny_en(tmp_path: Path) -> None:
    """The model for tests is used where it is installed, and its sum is the pinned one."""
    directory = models.find("tiny.en", tmp_path)
    assert models.sha256_of(directory) == models.IN_WHEELS["tiny.en"].sha256
    assert list(tmp_path.iterdir()) == []


def test_pieces_are_joined(tmp_path: Path, pieces: str) -> None:
    """A model cut over two wheels appears whole in the model directory, with its other files."""
    directory = models.find(pieces, tmp_path / "models")
    assert directory == tmp_path / "models" / pieces
    assert (directory / "model.bin").read_bytes() == b"firstsecond"
    assert (directory / "config.json").exists()


def test_two_at_once_join_once(tmp_path: Path, pieces: str) -> None:
    """Several that need the same model at the same time all get it whole."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: models.find(pieces, tmp_path / "models"), range(8)))
    assert len(set(found)) == 1
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [".lock", "cut"]


def test_damaged_pieces_are_refused(
    tmp_path: Path, pieces: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sum that differs leaves nothing behind that could be taken for a model."""
    wheels = models.Wheels(("half_1", "half_2"), "data", "0" * 64)
    monkeypatch.setattr(models, "IN_WHEELS", {pieces: wheels})
    with pytest.raises(VideoFailure, match="MODEL_UNAVAILABLE"):
        models.find(pieces, tmp_path / "models")
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".lock"]


def test_an_unknown_name_is_unavailable(tmp_path: Path) -> None:
    """A name that is nowhere is a failure for people, not a download."""
    with pytest.raises(VideoFailure, match="MODEL_UNAVAILABLE"):
        models.find("no-such-model", tmp_path)


def test_every_hub_model_is_pinned_to_a_commit() -> None:
    """A branch name would let the weights change under us."""
    assert all(len(revision.commit) == 40 for revision in models.ON_THE_HUB.values())
