"""Which jobs a child process has, who waits for their ends, and which are silent for too long.

Synchronous: knows no process and no clock but the one it is given.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from batchscribe.transcriber.v1 import child_pb2
from batchscribe.v1 import batch_pb2

_ENDS = ("fetched", "loaded", "transcribed", "resolved", "error", "stopped")

Listener = Callable[[child_pb2.ChildReply], None]


class Ending(Enum):
    """Why a process has ended."""

    CRASHED = "crashed"
    HUNG = "hung"
    TOO_LARGE = "too large"
    # None of the jobs in it is to blame.
    REPLACED = "replaced"


class ChildDied(Exception):
    """The process ended while it had the job."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.value)
        self.ending = ending


class JobHung(Exception):
    """The job said nothing for too long and was stopped."""


class JobFailed(Exception):
    """The child says that the job cannot be done."""

    def __init__(self, error: batch_pb2.ItemError) -> None:
        super().__init__(f"{error.reason}: {error.message}")
        self.error = error


@dataclass
class Job:
    """A job; ``since`` is when it was last heard of, or else asked to stop."""

    number: int
    on_news: Listener
    ended: "asyncio.Future[child_pb2.ChildReply]"
    since: float
    quiet_until: float = 0.0
    stopping: bool = False
    hung: bool = False


class JobTable:
    """The jobs of one process by number.

    A job may be silent for ``silence_seconds``, or as long as it has asked for; one that is to
    stop has ``grace_seconds`` for that.
    """

    def __init__(
        self, silence_seconds: float, grace_seconds: float, clock: Callable[[], float]
    ) -> None:
        self.ended = 0
        self._silence_seconds = silence_seconds
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, on_news: Listener) -> Job:
        """Return a new job. Its ``ended`` raises JobFailed, JobHung or ChildDied."""
        ended: asyncio.Future[child_pb2.ChildReply]
        ended = asyncio.get_running_loop().create_future()
        ended.add_done_callback(asyncio.Future.exception)  # Nobody may be left to look at it.
        job = Job(next(self._numbers), on_news, ended, self._clock())
        self._jobs[job.number] = job
        return job

    def hear(self, reply: child_pb2.ChildReply) -> None:
        """Take what the child says about a job."""
        # What ended as it was to be stopped may still be told to have stopped.
        if (job := self._jobs.get(reply.job_id)) is None:
            return
        kind = reply.WhichOneof("kind")
        if kind in _ENDS:
            self._end(job, reply)
        elif not job.stopping:
            job.since = self._clock()
            job.quiet_until = job.since + reply.beat.quiet_seconds
            if kind != "beat":
                job.on_news(reply)

    def stop(self, job: Job, *, hung: bool = False) -> bool:
        """Expect the job to stop; tell whether the child has to be asked for it."""
        if job.stopping or job.ended.done():
            return False
        job.stopping, job.hung = True, hung
        job.since = self._clock()
        return True

    def overdue(self) -> list[Job]:
        """Return the jobs that should have been heard of by now."""
        now = self._clock()
        return [job for job in self._jobs.values() if now > self._deadline(job)]

    def fail(self, ending: Ending) -> None:
        """The process has ended."""
        for job in self._jobs.values():
            job.ended.set_exception(JobHung() if job.hung else ChildDied(ending))
        self._jobs.clear()

    def _deadline(self, job: Job) -> float:
        patience_seconds = self._grace_seconds if job.stopping else self._silence_seconds
        return max(job.quiet_until, job.since + patience_seconds)

    def _end(self, job: Job, reply: child_pb2.ChildReply) -> None:
        del self._jobs[job.number]
        self.ended += 1
        if job.hung:
            job.ended.set_exception(JobHung())
        elif reply.HasField("error"):
            job.ended.set_exception(JobFailed(reply.error))
        else:
            job.ended.set_result(reply)
