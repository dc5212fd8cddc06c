"""The data directory of a stack: one stack at a time, one key, one place for each thing.

The lock is held by the supervisor and by Redis, so a new stack never meets the old one's writer.
"""

import asyncio
import contextlib
import fcntl
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from batchscribe.client import discovery
from batchscribe.local.child import StackError

_POLL_SECONDS = 0.05
# What a Redis whose supervisor was killed needs to vanish.
_TAKEOVER_SECONDS = 2.0


@dataclass(frozen=True)
class DataDir:
    """A locked data directory; ``lock`` is the descriptor that holds the lock."""

    path: Path
    lock: int

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    def log_of(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    @property
    def secrets(self) -> Path:
        """Where services read what must not stand in their environment."""
        return self.path / "secrets"

    def api_key(self) -> str:
        """Return the key of this directory, made when first asked for."""
        path = self.secrets / "gateway_api_key"
        if not path.exists():
            self.keep_secret(path.name, f"bs_{secrets.token_hex(6)}_{secrets.token_hex(32)}")
        return path.read_text()

    def keep_secret(self, name: str, value: str) -> None:
        """Write ``value`` where only this user can read it."""
        self.secrets.mkdir(mode=0o700, exist_ok=True)
        discovery.write_private(self.secrets / name, value)


@contextlib.asynccontextmanager
async def locked(path: Path) -> AsyncGenerator[DataDir, None]:
    """Hold ``path`` for one stack; StackError if another one runs on it."""
    with _open_lock(path) as file:
        if not await _take(file.fileno()):
            raise StackError(
                f"Another `batchscribe up` runs on {path}. Use it, stop it, "
                "or give this one its own --data-dir."
            )
        yield DataDir(path, file.fileno())


def _open_lock(path: Path) -> IO[str]:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return (path / discovery.LOCK_NAME).open("w")


async def _take(descriptor: int) -> bool:
    clock = asyncio.get_running_loop().time
    deadline = clock() + _TAKEOVER_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if clock() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return True
