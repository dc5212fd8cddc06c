"""One child process from its start to its end.

It ends by itself, or because a job in it hangs, does not stop when it should, or because it takes
too much memory; its jobs fail then.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from batchscribe.transcriber.v1 import child_pb2
from google.protobuf.message import DecodeError

from transcriber import frames
from transcriber.job_table import ChildDied, Ending, Job, JobFailed, JobTable, Listener

_LOOK_SECONDS = 0.5
_START_SECONDS = 120.0  # Cold disks read slowly.
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

log = structlog.get_logger()


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


class ChildProcess:
    """One process. Not for use from several event loops."""

    def __init__(self, program: Program, limits: Limits, on_state: Callable[[], None]) -> None:
        self.state = child_pb2.ChildState()
        # Set when another process should take the next jobs: this one has ended or is worn out.
        self.over = asyncio.Event()
        self._program = program
        self._limits = limits
        self._on_state = on_state
        loop = asyncio.get_running_loop()
        self._jobs = JobTable(limits.silence_seconds, limits.grace_seconds, loop.time)
        self._set_up: asyncio.Future[None] = loop.create_future()
        self._gone = asyncio.Event()
        self._ending: Ending | None = None
        self._retiring = False
        self._warm_bytes: int | None = None
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
            if not self._set_up.done():
                self._set_up.set_exception(ChildDied(self._ending))
                self._set_up.exception()  # It may be that nobody waits.
            self._jobs.fail(self._ending)
            self._gone.set()
            self.over.set()

    async def warm_up(self) -> None:
        """Return when the process is ready for jobs. Raises JobFailed, JobHung, ChildDied."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.shield(self._set_up)
        except TimeoutError:
            raise ChildDied(Ending.HUNG) from None
        for request in self._program.warm_up:
            await self.run(request, lambda news: None)
        if self._ending is not None:
            raise ChildDied(self._ending)
        self._jobs.ended = 0
        self._warm_bytes = _resident_bytes(self._pid)

    async def run(self, request: child_pb2.ChildRequest, on_news: Listener) -> child_pb2.ChildReply:
        """Return the reply that ends the job; those before it go to ``on_news``.

        Cancelling the call stops the job and waits until it has stopped. Raises JobFailed,
        JobHung, ChildDied.
        """
        if self._ending is not None:
            await self._gone.wait()
            raise ChildDied(Ending.REPLACED)
        job = self._jobs.add(on_news)
        numbered = child_pb2.ChildRequest(job_id=job.number)
        numbered.MergeFrom(request)
        self._send(numbered)
        try:
            return await asyncio.shield(job.ended)
        except asyncio.CancelledError:
            self._stop(job)
            await asyncio.wait([job.ended])
            raise
        finally:
            self._leave_if_idle()

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
        if reply.job_id:
            self._jobs.hear(reply)
        elif reply.HasField("state"):
            self.state = reply.state
            if not self._set_up.done():
                self._set_up.set_result(None)
            self._on_state()
        elif not self._set_up.done():
            self._set_up.set_exception(JobFailed(reply.error))

    def _send(self, request: child_pb2.ChildRequest) -> None:
        # Nobody drains: the messages are small, and as many as there are slots.
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frames.pack(request))

    def _stop(self, job: Job, *, hung: bool = False) -> None:
        if self._jobs.stop(job, hung=hung):
            self._send(child_pb2.ChildRequest(job_id=job.number, cancel=child_pb2.CancelJob()))

    def _leave_if_idle(self) -> None:
        if self._retiring and not self._jobs:
            self.end(Ending.REPLACED)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for job in self._jobs.overdue():
                self._lose_patience(job)
            if self._warm_bytes is not None:
                self._weigh(_resident_bytes(self._pid) - self._warm_bytes)

    def _lose_patience(self, job: Job) -> None:
        if job.stopping:
            self.end(Ending.REPLACED)
        elif self._limits.shares_work:
            self.end(Ending.HUNG)
        else:
            self._stop(job, hung=True)

    def _weigh(self, grown_bytes: int) -> None:
        if grown_bytes > 2 * self._limits.growth_bytes:
            self.end(Ending.TOO_LARGE)
        elif grown_bytes > self._limits.growth_bytes or self._jobs.ended >= self._limits.jobs:
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
