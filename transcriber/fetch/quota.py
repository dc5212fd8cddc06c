"""How much room on disk the media of all jobs may take together."""

import os
import time
from contextlib import suppress
from pathlib import Path

from transcriber.failures import VideoFailure

_PAUSE_SECONDS = 1.0
_BLOCK_BYTES = 512


class ScratchQuota:
    """Watches ``directory``, that of one job, and those of the other jobs beside it."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._next_look = 0.0

    def check(self) -> None:
        """Raise VideoFailure DISK_FULL if all take too much and this job takes most."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _PAUSE_SECONDS
        own = _bytes_in(self._directory)
        all_jobs = [_bytes_in(job) for job in self._directory.parent.iterdir()]
        if sum(all_jobs) > self._limit_bytes and own >= max(all_jobs):
            raise VideoFailure("DISK_FULL")


def _bytes_in(directory: Path) -> int:
    """Return what is allocated; files and directories may vanish meanwhile."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(folder, name).stat().st_blocks * _BLOCK_BYTES
    return total
