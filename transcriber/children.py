"""A child process from the outside: warm, asked over a socket, started again when it dies.

A crash in native code costs the jobs that ran in that child, each of which fails with ChildDied,
and nothing else.
"""

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.v1 import batch_pb2

from transcriber import frames

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0
_ENDS = ("fetched", "loaded", "transcribed")

log = structlog.get_logger()

Listener = Callable[[child_pb2.ChildReply], None]


class ChildDied(Exception):
    """The process ended while it had the job."""


class JobFailed(Exception):
    """The child says that the job cannot be done."""

    def __init__(self, error: batch_pb2.ItemError) -> None:
        super().__init__(error.reason)
        self.error = error


@dataclass(frozen=True)
class _Job:
    done: "asyncio.Future[child_pb2.ChildReply]"
    on_news: Listener


class Child:
    """One child process of ``python -m module``. Not for use from several event loops."""

    def __init__(
        self,
        module: str,
        setup: child_pb2.ChildRequest,
        environment: Mapping[str, str],
        on_state: Callable[[child_pb2.ChildState], None],
    ) -> None:
        self._module = module
        self._setup = setup
        self._environment = environment
        self._on_state = on_state
        self._numbers = itertools.count(1)
        self._jobs: dict[int, _Job] = {}
        self._up = asyncio.Event()
        self._pause_seconds = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._living: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process and keep one running until ``stop``."""
        self._living = asyncio.create_task(self._live(), name=self._module)

    async def stop(self) -> None:
        """Kill the process; its jobs fail with ChildDied."""
        if self._living is not None:
            self._living.cancel()
            with suppress(asyncio.CancelledError):
                await self._living

    async def ready(self) -> None:
        """Return when the process is set up."""
        await self._up.wait()

    async def run(self, request: child_pb2.ChildRequest, on_news: Listener) -> child_pb2.ChildReply:
        """Return the reply that ends the job; those before it go to ``on_news``.

        Cancelling the call cancels the job. Raises JobFailed, ChildDied.
        """
        await self.ready()
        request.job_id = next(self._numbers)
        job = _Job(asyncio.get_running_loop().create_future(), on_news)
        self._jobs[request.job_id] = job
        self._send(request)
        try:
            return await job.done
        finally:
            del self._jobs[request.job_id]
            if job.done.cancelled():
                self._send(
                    child_pb2.ChildRequest(job_id=request.job_id, cancel=child_pb2.CancelJob())
                )

    async def _live(self) -> None:
        while True:
            ours, theirs = socket.socketpair()
            with theirs:
                process = await self._spawn(theirs)
            try:
                await self._listen(ours)
            finally:
                self._up.clear()
                await _kill(process)
                self._fail_jobs()
            log.warning("child ended", module=self._module, exit_status=process.returncode)
            await self._back_off()

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            self._module,
            str(theirs.fileno()),
            str(os.getpid()),
            pass_fds=[theirs.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            env=self._environment,
        )
        return self._process

    async def _listen(self, ours: socket.socket) -> None:
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        self._send(self._setup)
        try:
            while (body := await frames.read_frame(reader)) is not None:
                self._take(child_pb2.ChildReply.FromString(body))
        finally:
            self._writer.close()

    def _take(self, reply: child_pb2.ChildReply) -> None:
        kind = reply.WhichOneof("kind")
        if kind == "state":
            self._pause_seconds = 0.0
            self._up.set()
            self._on_state(reply.state)
        # A job that was cancelled may still have a reply on its way.
        elif (job := self._jobs.get(reply.job_id)) is None or job.done.done():
            return
        elif kind == "error":
            job.done.set_exception(JobFailed(reply.error))
        elif kind in _ENDS:
            job.done.set_result(reply)
        else:
            job.on_news(reply)

    def _send(self, request: child_pb2.ChildRequest) -> None:
        # Nobody drains: the messages are small, and as many as there are slots.
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frames.pack(request))

    def _fail_jobs(self) -> None:
        self._on_state(child_pb2.ChildState())
        for job in self._jobs.values():
            if not job.done.done():
                job.done.set_exception(ChildDied(self._module))

    async def _back_off(self) -> None:
        await asyncio.sleep(self._pause_seconds)
        self._pause_seconds = min(
            max(self._pause_seconds * 2, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS
        )


async def _kill(process: asyncio.subprocess.Process) -> None:
    # Not process.kill(): it may reap the child before the loop's own watcher does.
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    await process.wait()
