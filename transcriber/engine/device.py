"""The device at work: threads that decode batches of the rows that all tasks have handed in.

A batch that fails is tried again in halves, down to the row that fails alone: what one row does
to the model costs no other row its text. If memory ran out, the model gets smaller batches.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

from transcriber import diagnosis
from transcriber.engine.batching import RowQueue
from transcriber.engine.decoding import Decoded, Languages, run
from transcriber.engine.plan import Plan
from transcriber.engine.rows import Row

Answer = Decoded | Languages | Exception


class Device:
    """Decodes batch after batch, as many at a time as ``plan`` has workers."""

    def __init__(
        self, plan: Plan, decode: Callable[[Sequence[Row]], Sequence[Answer]] = run
    ) -> None:
        self._decode = decode
        self._most_rows = plan.most_rows
        # What has fitted into memory, by the name of the model.
        self._fitting: dict[str, int] = {}
        self._queue: RowQueue[_Waiting] = RowQueue(lambda waiting: self.room(waiting.row))
        self._idle = 0
        self._changed = threading.Condition()
        for number in range(plan.workers):
            threading.Thread(target=self._work, name=f"device-{number}", daemon=True).start()

    @contextmanager
    def lane(self) -> Iterator["Lane"]:
        """Lend a way to the device for one task; what still waits in the end is dropped."""
        lane = Lane(self)
        try:
            yield lane
        finally:
            lane.close()

    def add(self, lane: "Lane", row: Row) -> None:
        with self._changed:
            self._queue.add(_Waiting(lane, row))
            self._changed.notify()

    def drop(self, lane: "Lane") -> None:
        with self._changed:
            self._queue.drop(lane)

    def room(self, row: Row) -> int:
        """Return how many rows like this one a batch may have."""
        return self._fitting.get(row.ask.model.name, self._most_rows)

    def _work(self) -> None:
        while True:
            batch = self._take()
            answers = self._answers([waiting.row for waiting in batch])
            for waiting, answer in zip(batch, answers, strict=True):
                waiting.task.deliver(waiting.row, answer)

    def _answers(self, rows: Sequence[Row]) -> Sequence[Answer]:
        try:
            return self._decode(rows)
        except Exception as error:
            if len(rows) == 1:
                return [error]
            middle = len(rows) // 2
            if diagnosis.is_out_of_memory(error):
                self._shrink(rows[0], middle)
        return [*self._answers(rows[:middle]), *self._answers(rows[middle:])]

    def _shrink(self, row: Row, fitting: int) -> None:
        with self._changed:
            self._fitting[row.ask.model.name] = min(fitting, self.room(row))

    def _take(self) -> list["_Waiting"]:
        with self._changed:
            self._idle += 1
            while not (batch := self._queue.take(self._idle)):
                self._changed.wait()
            self._idle -= 1
            fill = len(batch) / self.room(batch[0].row)
            for waiting in batch:
                waiting.task.fills.append(fill)
            return batch


class Lane:
    """One task's way to the device and back."""

    def __init__(self, device: Device) -> None:
        self._device = device
        # How full the batch of each row was, from 0 to 1.
        self.fills: list[float] = []
        self._answers: SimpleQueue[tuple[Row, Answer] | None] = SimpleQueue()

    def submit(self, row: Row) -> None:
        self._device.add(self, row)

    def deliver(self, row: Row, answer: Answer) -> None:
        self._answers.put((row, answer))

    def receive(self) -> tuple[Row, Answer] | None:
        """Wait for the next answer, whichever row has it first; None once the lane is closed."""
        return self._answers.get()

    def close(self) -> None:
        """Drop the rows that have not begun; any thread may close."""
        self._device.drop(self)
        self._answers.put(None)


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A row in the queue; its lane stands for its task."""

    task: Lane
    row: Row

    @property
    def group(self) -> object:
        return self.row.group
