"""Which rows the device decodes next: rows of all tasks, merged into batches.

Pure and synchronous. Rows of one batch agree in what CTranslate2 needs equal and are of like
length, because the longest sets the time of all; tasks take turns, so a long file does not
starve a short one.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, Protocol, TypeVar


class Groupable(Protocol):
    """A row: whose it is, and what it has to share with its batch."""

    @property
    def task(self) -> Hashable: ...

    @property
    def group(self) -> Hashable: ...


RowT = TypeVar("RowT", bound=Groupable)


class RowQueue(Generic[RowT]):
    """Rows that wait; a batch has at most ``most_rows`` of the kind of its first row."""

    def __init__(self, most_rows: Callable[[RowT], int]) -> None:
        self._most_rows = most_rows
        # The task that was served longest ago comes first.
        self._waiting: OrderedDict[Hashable, deque[RowT]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, row: RowT) -> None:
        self._waiting.setdefault(row.task, deque()).append(row)

    def drop(self, task: Hashable) -> None:
        """Forget the rows of ``task``."""
        self._waiting.pop(task, None)

    def take(self, workers: int = 1) -> list[RowT]:
        """Remove and return the next batch; empty if nothing waits.

        ``workers`` that are idle share the rows there are rather than leave them to one.
        """
        if not self._waiting:
            return []
        first = next(iter(self._waiting.values()))[0]
        group = first.group
        alike = sum(row.group == group for rows in self._waiting.values() for row in rows)
        room = min(self._most_rows(first), -(-alike // workers))
        return [self._remove(row) for row in self._in_turns(group, room)]

    def _in_turns(self, group: Hashable, room: int) -> list[RowT]:
        """Return up to ``room`` rows of ``group``, one of each task in turn, oldest first."""
        turns: list[Iterator[RowT]] = [
            (row for row in list(rows) if row.group == group) for rows in self._waiting.values()
        ]
        chosen: list[RowT] = []
        while turns and len(chosen) < room:
            turn = turns.pop(0)
            row = next(turn, None)
            if row is not None:
                chosen.append(row)
                turns.append(turn)
        return chosen

    def _remove(self, row: RowT) -> RowT:
        rows = self._waiting[row.task]
        rows.remove(row)
        self._waiting.move_to_end(row.task)
        if not rows:
            del self._waiting[row.task]
        return row
