"""Names and index of transcript files."""

from pathlib import Path

import pytest
from batchscribe.cli.files import TranscriptFolder, file_stem, part_of
from batchscribe.v1.batch_pb2 import Clip
from google.protobuf.duration_pb2 import Duration

URL = "https://example.com/watch?v=1"


@pytest.mark.parametrize(
    ("title", "source_id", "stem"),
    [
        ("A talk", "abc", "A talk [abc]"),
        ("../../etc/passwd", "x", "_.._etc_passwd [x]"),
        ("..", "..", "untitled [unknown]"),
        ("", "", "untitled [unknown]"),
        ("a\x1b[2J\nb\u202ec", "i/d", "a[2J bc [i_d]"),
        (".hidden", "x", "hidden [x]"),
    ],
)
def test_a_title_cannot_leave_the_folder(title: str, source_id: str, stem: str) -> None:
    """Separators, dots in front and control characters are taken out of a name."""
    assert file_stem(title, source_id) == stem


def test_a_long_title_fits_a_file_name() -> None:
    """A name has at most the 255 bytes that file systems allow, whole characters only."""
    name = file_stem("ä" * 500, "id" * 10) + ".jsonl"
    assert len(name.encode()) < 255


def test_two_videos_of_one_name_get_two_files(tmp_path: Path) -> None:
    """Another address with the same title and id does not overwrite the first."""
    folder = TranscriptFolder(tmp_path, "txt")
    first = folder.write(URL, "Talk", "clip", b"one")
    second = folder.write(f"{URL}2", "Talk", "clip", b"two")
    assert (first.name, second.name) == ("Talk [clip].txt", "Talk [clip] (2).txt")
    assert first.read_bytes() == b"one"


def test_an_address_is_found_again_for_its_format_only(tmp_path: Path) -> None:
    """A file counts as there for the address and format that it was written for."""
    path = TranscriptFolder(tmp_path, "txt").write(URL, "Talk", "clip", b"one")
    assert TranscriptFolder(tmp_path, "txt").find(URL) == path
    assert TranscriptFolder(tmp_path, "srt").find(URL) is None
    assert TranscriptFolder(tmp_path, "txt").find(f"{URL}2") is None


def test_a_part_is_not_the_whole(tmp_path: Path) -> None:
    """The file of a part counts for that part alone."""
    folder = TranscriptFolder(tmp_path, "txt")
    minute, rest = Clip(end_offset=Duration(seconds=60)), Clip(start_offset=Duration(seconds=60))
    path = folder.write(part_of(URL, minute), "Talk", "clip", b"one")
    assert folder.find(part_of(URL, minute)) == path
    assert folder.find(part_of(URL, rest)) is None
    assert folder.find(part_of(URL, None)) is None
    assert part_of(URL, None) == part_of(URL, Clip()) == URL


@pytest.mark.parametrize("index", [b"{", b"\xff"])
def test_a_broken_index_is_begun_anew(tmp_path: Path, index: bytes) -> None:
    """What cannot be read as an index holds nothing, and does not stop a job."""
    (tmp_path / ".batchscribe.json").write_bytes(index)
    folder = TranscriptFolder(tmp_path, "txt")
    assert folder.find(URL) is None
    path = folder.write(URL, "Talk", "clip", b"one")
    assert folder.find(URL) == path


def test_a_file_that_was_removed_is_not_there(tmp_path: Path) -> None:
    """The index alone does not make a transcript be skipped."""
    folder = TranscriptFolder(tmp_path, "txt")
    folder.write(URL, "Talk", "clip", b"one").unlink()
    assert folder.find(URL) is None
