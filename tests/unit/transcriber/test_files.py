"""``file:`` addresses and the directory that they cannot leave."""

from pathlib import Path

import pytest

from transcriber.diagnosis import classify
from transcriber.failures import VideoFailure
from transcriber.fetch.files import path_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A media directory with a file, a link to it and links that lead out; beside it a secret."""
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "a talk.mp3").touch()
    (root / "same").symlink_to(root / "a talk.mp3")
    (tmp_path / "secret").touch()
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    return root


def test_a_file_below_the_root_is_found(root: Path) -> None:
    """By its own name as a URL has it, and by links that stay inside."""
    talk = root / "a talk.mp3"
    assert path_of(talk.as_uri(), str(root)) == talk
    assert path_of((root / "same").as_uri(), str(root)) == talk


def test_the_root_may_be_a_link(root: Path, tmp_path: Path) -> None:
    """What the operator named is followed as well."""
    (tmp_path / "link").symlink_to(root)
    found = path_of((tmp_path / "link" / "a talk.mp3").as_uri(), str(tmp_path / "link"))
    assert found == root / "a talk.mp3"


@pytest.mark.parametrize(
    "path",
    [
        "missing.mp3",
        "",
        "../secret",
        "%2e%2e/secret",
        "..%2fsecret",
        "../missing",
        "out",
        "up/secret",
        "loop",
        "a%20talk.mp3/x",
        "a%00talk.mp3",
        "x" * 5000,
    ],
)
def test_nothing_else_is_told_apart(root: Path, path: str) -> None:
    """Outside or missing, a directory or a loop: the answer is the same, word for word."""
    with pytest.raises(VideoFailure) as caught:
        path_of(f"{root.as_uri()}/{path}", str(root))
    error = classify(caught.value)
    assert error.reason == "FILE_UNAVAILABLE"
    assert not error.metadata
    assert not error.retryable


def test_without_a_root_there_are_no_files(root: Path) -> None:
    """An operator who opened no directory has opened none."""
    with pytest.raises(VideoFailure, match="FILE_UNAVAILABLE"):
        path_of((root / "a talk.mp3").as_uri(), "")
