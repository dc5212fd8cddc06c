"""Wakes those who watch the transcriber: at once for a change, for progress four times a second."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PROGRESS_SECONDS = 0.25
_BEAT_SECONDS = 2.0


class Watcher:
    """One watch. Remembers what happened while it was busy, so nothing is missed."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.moved = False

    async def wait(self) -> None:
        """Return when there is something to say, after 2 seconds at the latest."""
        for _ in range(int(_BEAT_SECONDS / _PROGRESS_SECONDS)):
            with suppress(TimeoutError):
                async with asyncio.timeout(_PROGRESS_SECONDS):
                    await self.changed.wait()
            if self.changed.is_set() or self.moved:
                break
        self.changed.clear()
        self.moved = False


class Watchers:
    """All watches of the transcriber."""

    def __init__(self) -> None:
        self.closed = False
        self._watchers: set[Watcher] = set()

    @contextmanager
    def watcher(self) -> Iterator[Watcher]:
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)

    def change(self) -> None:
        """Something is different: a stage, a title, a task."""
        for watcher in self._watchers:
            watcher.changed.set()

    def progress(self) -> None:
        """Some audio was done."""
        for watcher in self._watchers:
            watcher.moved = True

    def close(self) -> None:
        """Let every watch say its last word and end."""
        self.closed = True
        self.change()
