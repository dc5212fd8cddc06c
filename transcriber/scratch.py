"""Directories for media in the making; nothing of them outlives its process for long.

Each run locks a directory of its own. The kernel drops the lock when the process ends, however
that ends, and the next run removes what is not locked.
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_LOCK = "lock"

Owner = tuple[int, int]  # Ids of a user and a group.


class Scratch:
    """A locked directory under ``work_dir``; what is made in it belongs to ``owner``, if given."""

    def __init__(self, work_dir: Path, owner: Owner | None = None) -> None:
        self._owner = owner
        work_dir.mkdir(parents=True, exist_ok=True)
        _remove_left_over(work_dir)
        self._root = Path(tempfile.mkdtemp(prefix="run-", dir=work_dir))
        self._lock = (self._root / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if owner:
            self._root.chmod(0o755)

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        self._lock.close()

    @property
    def home(self) -> Path:
        """A directory for programs that insist on having one."""
        return self._root

    @asynccontextmanager
    async def directory(self) -> AsyncIterator[Path]:
        """Make a directory for one task, and remove it afterwards with all that is in it."""
        path = Path(tempfile.mkdtemp(dir=self._root))
        if self._owner:
            os.chown(path, *self._owner)
        try:
            yield path
        finally:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


def _remove_left_over(work_dir: Path) -> None:
    for run in work_dir.glob("run-*"):
        try:
            with (run / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            continue
        shutil.rmtree(run, ignore_errors=True)
