"""What a transcriber did, written line by line so that it survives its writer.

One file for each process. Times are those of the machine's monotonic clock, the same for all.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

# A call came, was answered, ended otherwise.
CALLED, ANSWERED, LEFT = "CALLED", "ANSWERED", "LEFT"
# Work began, succeeded, failed, was stopped.
STARTED, DONE, FAILED, STOPPED = "STARTED", "DONE", "FAILED", "STOPPED"


@dataclass(frozen=True)
class Entry:
    """One line; ``peer`` is the caller's address, only of a call."""

    at: float
    kind: str
    task_id: str
    epoch: int
    peer: str = ""

    @property
    def lease(self) -> tuple[str, int]:
        return self.task_id, self.epoch


class JournalWriter:
    """Appends entries with one write each."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, kind: str, task_id: str, epoch: int, peer: str = "") -> None:
        os.write(self._file, f"{time.monotonic()} {kind} {task_id} {epoch} {peer}\n".encode())


class Journal:
    """Follows the file of one process; ``read`` takes in what was written since.

    ``calls`` are those that are open, ``works`` what is running, both by lease. Work keeps the
    lease it began under, whoever adopts it.
    """

    def __init__(self, path: Path) -> None:
        self.entries: list[Entry] = []
        self.calls: dict[tuple[str, int], Entry] = {}
        self.works: dict[tuple[str, int], Entry] = {}
        self._path = path
        self._offset = 0

    def read(self) -> "Journal":
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                whole, end, _ = file.read().rpartition(b"\n")
            self._offset += len(whole) + len(end)
            for line in whole.decode().splitlines():
                self._take(_parse(line))
        return self

    def _take(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry.kind == CALLED:
            self.calls[entry.lease] = entry
        elif entry.kind == STARTED:
            self.works[entry.lease] = entry
        elif entry.kind in (ANSWERED, LEFT):
            self.calls.pop(entry.lease, None)
        else:
            self.works.pop(entry.lease, None)


def _parse(line: str) -> Entry:
    at, kind, task_id, epoch, *peer = line.split()
    return Entry(float(at), kind, task_id, int(epoch), *peer)
