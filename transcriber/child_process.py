"""One child process from its start to its end, and the jobs that it has meanwhile.

A job ends with the child's own word or with the process. A process ends by itself, or because a
job in it hangs, does not stop when it should, or because it takes too much memory.
"""

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import structlog
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.v1 import batch_pb2
from google.protobuf.message import DecodeError

from transcriber import frames

_LOOK_SECONDS = 0.5
_START_SECONDS = 120.0  # Cold disks read slowly.
_ENDS = ("fetched", "loaded", "transcribed", "resolved", "error", "stopped")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

log = structlog.get_logger()

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


@dataclass(frozen=True)
class Program:
    """``python -m module``: set up first, it has done ``warm_up`` before it gets jobs.

    ``set_up`` is entered with our end of a process's line before anything is said there, gives
    what the process is told first, and is left when the process has ended.
    """

    module: str
    set_up: Callable[[socket.socket], AbstractAsyncContextManager[child_pb2.ChildRequest]]
    environment: Mapping[str, str]
    warm_up: Sequence[child_pb2.ChildRequest] = ()


@dataclass(frozen=True)
class Limits:
    """What a process may do to us.

    A job that is silent for ``silence_seconds`` hangs: that ends the process if ``shares_work``,
    as the jobs of the child cannot be told apart then, and else the job. A cancelled job has
    ``grace_seconds`` to stop. A process that did ``jobs`` or grew by ``growth_bytes`` since it was
    warm is worn out; one that grew by twice as much is killed.
    """

    silence_seconds: float
    shares_work: bool
    grace_seconds: float
    jobs: int
    growth_bytes: int


@dataclass
class _Job:
    on_news: Listener
    ended: "asyncio.Future[child_pb2.ChildReply]"
    since: float  # When it was last heard of, or else asked to stop.
    quiet_until: float = 0.0
    stopping: bool = False
    hung: bool = False


class ChildProcess:
    """One process. Not for use from several event loops."""

    def __init__(self, program: Program, limits: Limits, on_state: Callable[[], None]) -> None:
        self.state = child_pb2.ChildState()
        # Set when another process should take the next jobs: this one has ended or is worn out.
        self.over = asyncio.Event()
        self._program = program
        self._limits = limits
        self._on_state = on_state
        self._loop = asyncio.get_running_loop()
        self._set_up: asyncio.Future[None] = self._loop.create_future()
        self._numbers = itertools.count(1)
        self._jobs: dict[int, _Job] = {}
        self._jobs_done = 0
        self._warm_bytes: int | None = None
        self._retiring = False
        self._ending: Ending | None = None
        self._pid = 0
        self._writer: asyncio.StreamWriter | None = None

    async def live(self) -> None:
        """Start the process and return when it has ended; cancelling this kills it."""
        try:
            await self._live()
        except (OSError, DecodeError) as error:
            log.error("child is of no use", module=self._program.module, error=str(error))
        finally:
            self._ending = self._ending or Ending.CRASHED
            self._fail_jobs(self._ending)
            self.over.set()

    async def warm_up(self) -> None:
        """Return when the process is ready for jobs. Raises JobFailed, ChildDied."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.shield(self._set_up)
        except TimeoutError:
            raise ChildDied(Ending.HUNG) from None
        for request in self._program.warm_up:
            await self.run(request, lambda news: None)
        self._jobs_done = 0
        self._warm_bytes = _resident_bytes(self._pid)

    async def run(self, request: child_pb2.ChildRequest, on_news: Listener) -> child_pb2.ChildReply:
        """Return the reply that ends the job; those before it go to ``on_news``.

        Cancelling the call stops the job and waits until it has stopped. Raises JobFailed,
        JobHung, ChildDied.
        """
        if self._ending is not None:
            raise ChildDied(Ending.REPLACED)
        job_id = next(self._numbers)
        job = _Job(on_news, self._loop.create_future(), self._loop.time())
        self._jobs[job_id] = job
        numbered = child_pb2.ChildRequest(job_id=job_id)
        numbered.MergeFrom(request)
        self._send(numbered)
        try:
            return await asyncio.shield(job.ended)
        except asyncio.CancelledError:
            self._stop(job_id, job)
            await asyncio.wait([job.ended])
            raise

    def retire(self) -> None:
        """End the process as soon as it has no jobs; it must get no more of them."""
        self._retiring = True
        self._leave_if_idle()

    def end(self, ending: Ending) -> None:
        """Kill the process; its jobs fail with ChildDied."""
        self._ending = self._ending or ending
        if self._writer is not None:
            # Nothing more is heard then, so ``live`` comes to its end and kills.
            self._writer.close()

    async def _live(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await self._spawn(theirs)
            await self._live_with(process, ours)
        finally:
            if self._writer is None:
                ours.close()

    async def _live_with(self, process: asyncio.subprocess.Process, ours: socket.socket) -> None:
        watching = asyncio.create_task(self._watch())
        try:
            await self._listen(ours)
        finally:
            watching.cancel()
            await _kill(process)
        say = log.info if self._ending is Ending.REPLACED else log.warning
        why = (self._ending or Ending.CRASHED).value
        say("child ended", module=self._program.module, why=why, exit_status=process.returncode)

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            self._program.module,
            str(theirs.fileno()),
            str(os.getpid()),
            pass_fds=[theirs.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            env=self._program.environment,
        )
        self._pid = process.pid
        return process

    async def _listen(self, ours: socket.socket) -> None:
        async with self._program.set_up(ours) as setup:
            reader, self._writer = await asyncio.open_unix_connection(sock=ours)
            self._send(setup)
            try:
                while (body := await frames.read_frame(reader)) is not None:
                    self._take(child_pb2.ChildReply.FromString(body))
            finally:
                self._writer.close()

    def _take(self, reply: child_pb2.ChildReply) -> None:
        kind = reply.WhichOneof("kind")
        if kind == "state":
            self.state = reply.state
            if not self._set_up.done():
                self._set_up.set_result(None)
            self._on_state()
        # What ended as it was to be stopped may still be told to have stopped.
        elif (job := self._jobs.get(reply.job_id)) is None:
            return
        elif kind in _ENDS:
            self._finish(reply.job_id, reply)
        elif not job.stopping:
            job.since = self._loop.time()
            job.quiet_until = job.since + reply.beat.quiet_seconds
            if kind != "beat":
                job.on_news(reply)

    def _send(self, request: child_pb2.ChildRequest) -> None:
        # Nobody drains: the messages are small, and as many as there are slots.
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frames.pack(request))

    def _stop(self, job_id: int, job: _Job) -> None:
        if not job.stopping and not job.ended.done():
            job.stopping = True
            job.since = self._loop.time()
            self._send(child_pb2.ChildRequest(job_id=job_id, cancel=child_pb2.CancelJob()))

    def _finish(self, job_id: int, reply: child_pb2.ChildReply) -> None:
        job = self._jobs.pop(job_id)
        self._jobs_done += 1
        if job.hung:
            job.ended.set_exception(JobHung())
        elif reply.HasField("error"):
            job.ended.set_exception(JobFailed(reply.error))
        else:
            job.ended.set_result(reply)
        self._leave_if_idle()

    def _fail_jobs(self, ending: Ending) -> None:
        if not self._set_up.done():
            self._set_up.set_exception(ChildDied(ending))
            self._set_up.exception()  # It may be that nobody waits.
        for job in self._jobs.values():
            job.ended.set_exception(JobHung() if job.hung else ChildDied(ending))
        self._jobs.clear()

    def _leave_if_idle(self) -> None:
        if self._retiring and not self._jobs:
            self.end(Ending.REPLACED)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = self._loop.time()
            for job_id, job in list(self._jobs.items()):
                if now > max(job.quiet_until, job.since + self._patience_seconds(job)):
                    self._lose_patience(job_id, job)
            if self._warm_bytes is not None:
                self._weigh(_resident_bytes(self._pid) - self._warm_bytes)

    def _patience_seconds(self, job: _Job) -> float:
        return self._limits.grace_seconds if job.stopping else self._limits.silence_seconds

    def _lose_patience(self, job_id: int, job: _Job) -> None:
        if job.stopping:
            self.end(Ending.REPLACED)
        elif self._limits.shares_work:
            self.end(Ending.HUNG)
        else:
            job.hung = True
            self._stop(job_id, job)

    def _weigh(self, grown_bytes: int) -> None:
        if grown_bytes > 2 * self._limits.growth_bytes:
            self.end(Ending.TOO_LARGE)
        elif grown_bytes > self._limits.growth_bytes or self._jobs_done >= self._limits.jobs:
            self.over.set()


def _resident_bytes(pid: int) -> int:
    """Return the memory that a process has in RAM; 0 if that is not to be known."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * _PAGE_BYTES


async def _kill(process: asyncio.subprocess.Process) -> None:
    # Not process.kill(): it may reap the child before the loop's own watcher does.
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    await process.wait()
