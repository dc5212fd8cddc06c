"""Directories for media in the making."""

from pathlib import Path

import pytest

from transcriber.scratch import Scratch


async def test_nothing_is_left_of_a_task(tmp_path: Path) -> None:
    """Its directory is there while it runs, and what it left in it goes with it."""
    with Scratch(tmp_path) as scratch:
        async with scratch.directory() as directory:
            (directory / "media").touch()
        assert not directory.exists()


@pytest.mark.needs_root
async def test_media_belongs_to_who_fetches(tmp_path: Path) -> None:
    """Another user may write into the directory of a task, and nowhere else."""
    with Scratch(tmp_path, owner=(65534, 65534)) as scratch:
        async with scratch.directory() as directory:
            assert (directory.stat().st_uid, directory.stat().st_mode & 0o777) == (65534, 0o700)
        assert (scratch.home.stat().st_uid, scratch.home.stat().st_mode & 0o777) == (0, 0o755)
