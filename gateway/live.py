"""How far running items are, as their transcribers report it; nothing of this is stored.

Every gateway follows every transcriber, so any of them can tell any watcher.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from batchscribe.transcriber.v1.transcriber_service_pb2 import TaskStatus

from gateway import ids


@dataclass(frozen=True)
class LiveItem:
    """A running item: the lease it runs under and its audio in ms."""

    item_id: str
    epoch: int
    processed_ms: int
    duration_ms: int

    @property
    def fraction(self) -> float:
        return min(1.0, self.processed_ms / self.duration_ms) if self.duration_ms else 0.0


class LiveProgress:
    """The running items by batch. Of several epochs the highest counts, and audio never falls."""

    def __init__(self) -> None:
        self._batches: defaultdict[str, dict[str, LiveItem]] = defaultdict(dict)
        self._reported: dict[str, set[str]] = {}
        self._ended: set[str] = set()

    def report(self, address: str, tasks: Iterable[TaskStatus]) -> None:
        """Take over what the transcriber at ``address`` is doing now."""
        tasks = tuple(task for task in tasks if ids.is_item(task.task_id))
        now = {task.task_id for task in tasks}
        before = self._reported.get(address, set())
        self._reported[address] = now
        for item_id in before - now:
            self._forget(item_id)
        for task in tasks:
            if task.task_id not in self._ended:
                self._take(task)

    def lose(self, address: str) -> None:
        """The transcriber is gone; its items may show up elsewhere."""
        self.report(address, ())
        del self._reported[address]

    def end(self, item_ids: Iterable[str]) -> None:
        """These items have ended: their audio is in the stored counts from now on."""
        for item_id in item_ids:
            self._drop(item_id)
            if any(item_id in reported for reported in self._reported.values()):
                self._ended.add(item_id)

    def of_batch(self, batch_id: str) -> Mapping[str, LiveItem]:
        return self._batches.get(batch_id, {})

    def processed_ms(self, batch_id: str) -> int:
        return sum(item.processed_ms for item in self.of_batch(batch_id).values())

    def _take(self, task: TaskStatus) -> None:
        items = self._batches[ids.batch_of(task.task_id)]
        known = items.get(task.task_id)
        if known and known.epoch > task.epoch:
            return
        processed = task.audio_processed.ToMilliseconds()
        items[task.task_id] = LiveItem(
            task.task_id,
            task.epoch,
            max(processed, known.processed_ms) if known else processed,
            task.audio_duration.ToMilliseconds(),
        )

    def _forget(self, item_id: str) -> None:
        if any(item_id in reported for reported in self._reported.values()):
            return
        self._ended.discard(item_id)
        self._drop(item_id)

    def _drop(self, item_id: str) -> None:
        batch_id = ids.batch_of(item_id)
        items = self._batches.get(batch_id)
        if items is None:
            return
        items.pop(item_id, None)
        if not items:
            del self._batches[batch_id]
