"""Which tasks this transcriber has, whose they are, and whether it takes another.

Pure and synchronous: knows no gRPC, no process and no clock but the one it is given. A task has at
most one caller, the latest; one without a caller is an orphan and goes on for a while.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract

KEEP_SECONDS = 60.0
KEEP_BYTES = 64 * 1024 * 1024


class Refused(Exception):
    """The call is not accepted, or has lost its task to another."""


class Busy(Refused):
    """All slots are taken."""


class Draining(Refused):
    """No new work is taken."""


class StaleEpoch(Refused):
    """A higher epoch was seen for the task."""


class Cancelled(Refused):
    """The task was cancelled."""


class Phase(Enum):
    """Where a task stands."""

    RUNNING = auto()
    FINISHED = auto()
    # Over: only the epoch is remembered.
    FAILED = auto()
    CANCELLED = auto()


_OVER = (Phase.FAILED, Phase.CANCELLED)


@dataclass
class Task:
    """A task; ``since`` is when it ended, or else when its caller left."""

    status: contract.TaskStatus
    phase: Phase = Phase.RUNNING
    caller: int | None = None
    since: float = 0.0
    outcome: contract.TranscribeResponse | None = field(default=None, repr=False)

    @property
    def epoch(self) -> int:
        return self.status.epoch

    def learn(self, part: contract.TaskStatus) -> None:
        """Take what ``part`` says; audio that was done stays so, though it be done again."""
        done = max(_done(self.status), _done(part))
        if part.HasField("audio_duration"):
            # Merging would keep what the new one has as zero.
            self.status.ClearField("audio_duration")
        self.status.MergeFrom(part)
        if done:
            self.status.audio_processed.FromNanoseconds(done)


def _done(status: contract.TaskStatus) -> int:
    return status.audio_processed.ToNanoseconds()


@dataclass(frozen=True)
class Admission:
    """``caller`` names the call; ``is_new`` says that the work has to be started."""

    task: Task
    caller: int
    is_new: bool


class TaskTable:
    """All tasks by id. ``slots`` bounds those that run, orphans included."""

    def __init__(
        self, slots: int, clock: Callable[[], float], keep_bytes: int = KEEP_BYTES
    ) -> None:
        self.slots = slots
        self.draining = False
        self._clock = clock
        self._keep_bytes = keep_bytes
        self._tasks: dict[str, Task] = {}
        self._callers = 0

    def admit(self, task_id: str, epoch: int) -> Admission:
        """Take the call: start the task, or join its work and displace the caller before.

        Raises Busy, Draining, StaleEpoch, Cancelled.
        """
        task = self._tasks.get(task_id)
        if task is not None and epoch < task.epoch:
            raise StaleEpoch
        if task is not None and task.phase is Phase.CANCELLED and epoch == task.epoch:
            raise Cancelled
        is_new = task is None or task.phase in _OVER
        if task is None or is_new:
            task = self._start(task_id)
        self._callers += 1
        task.caller = self._callers
        task.status.epoch = epoch
        return Admission(task, task.caller, is_new)

    def leave(self, task_id: str, caller: int) -> None:
        """The caller has gone without an answer: its task is an orphan from now on."""
        task = self._tasks.get(task_id)
        if task is not None and task.caller == caller:
            task.caller = None
            if task.phase is Phase.RUNNING:
                task.since = self._clock()

    def deliver(self, task_id: str, caller: int) -> None:
        """The caller was answered. A failure is forgotten, so that the next epoch tries anew."""
        task = self._tasks.get(task_id)
        if task is None or task.caller != caller:
            return
        task.caller = None
        if task.outcome is not None and task.outcome.HasField("error"):
            task.outcome = None
            task.phase = Phase.FAILED

    def cancel(self, task_id: str, epoch: int) -> bool:
        """Mark the task cancelled; say whether work is running that has to be stopped.

        A lower epoch is ignored. An unknown task is remembered: its Transcribe may come later.
        """
        task = self._tasks.get(task_id)
        if task is None:
            task = Task(contract.TaskStatus(task_id=task_id, epoch=epoch), Phase.CANCELLED)
            self._tasks[task_id] = task
        elif epoch < task.epoch:
            return False
        was_running = task.phase is Phase.RUNNING
        task.status.epoch = epoch
        task.phase = Phase.CANCELLED
        task.outcome = None
        task.since = self._clock()
        return was_running

    def finish(self, task_id: str, outcome: contract.TranscribeResponse) -> None:
        """Keep the outcome for its caller, or for one that adopts the task."""
        task = self._tasks[task_id]
        task.phase = Phase.FINISHED
        task.outcome = outcome
        task.since = self._clock()
        self._bound_memory()

    def sweep(self) -> list[str]:
        """Forget what was kept long enough; return the orphans whose work has to be stopped."""
        deadline = self._clock() - KEEP_SECONDS
        left = [
            (task_id, task)
            for task_id, task in self._tasks.items()
            if task.caller is None and task.since <= deadline
        ]
        for task_id, _ in left:
            del self._tasks[task_id]
        return [task_id for task_id, task in left if task.phase is Phase.RUNNING]

    def running(self) -> list[str]:
        return [task_id for task_id, task in self._tasks.items() if task.phase is Phase.RUNNING]

    def statuses(self) -> Iterator[contract.TaskStatus]:
        """Yield the tasks at work and those just finished."""
        return (task.status for task in self._tasks.values() if task.phase not in _OVER)

    def _start(self, task_id: str) -> Task:
        if self.draining:
            raise Draining
        if len(self.running()) >= self.slots:
            raise Busy
        task = Task(contract.TaskStatus(task_id=task_id))
        self._tasks[task_id] = task
        return task

    def _bound_memory(self) -> None:
        """Drop the oldest outcomes that nobody waits for until the rest fit."""
        kept = [
            (task_id, task.outcome.ByteSize())
            for task_id, task in self._tasks.items()
            if task.outcome is not None and task.caller is None
        ]
        total_bytes = sum(size for _, size in kept)
        for task_id, size in kept:
            if total_bytes <= self._keep_bytes:
                return
            del self._tasks[task_id]
            total_bytes -= size
