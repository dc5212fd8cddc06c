"""Room on disk for the media of all jobs."""

from pathlib import Path

import pytest

from transcriber.failures import VideoFailure
from transcriber.fetch.quota import ScratchQuota


def _job(scratch: Path, name: str, kilobytes: int) -> Path:
    directory = scratch / name
    directory.mkdir()
    (directory / "media").write_bytes(b"x" * kilobytes * 1024)
    return directory


def test_the_largest_job_gives_way(tmp_path: Path) -> None:
    """Where all take more than there is, the one that takes most fails, and may come back."""
    small, large = _job(tmp_path, "small", 64), _job(tmp_path, "large", 256)
    ScratchQuota(small, 200 * 1024).check()
    with pytest.raises(VideoFailure, match="DISK_FULL"):
        ScratchQuota(large, 200 * 1024).check()
    ScratchQuota(large, 400 * 1024).check()


def test_a_hole_takes_no_room(tmp_path: Path) -> None:
    """What counts is what is allocated."""
    directory = _job(tmp_path, "job", 4)
    with (directory / "samples").open("wb") as file:
        file.truncate(10**9)
    ScratchQuota(directory, 64 * 1024).check()
