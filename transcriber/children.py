"""A child that is always there: one process takes the jobs, and another follows it.

The next process takes over once it is warm, so that replacing one that is worn out delays nothing;
only after a death do jobs wait for it, or for the third if those before it crash at their start.
"""

import asyncio
from collections.abc import Callable

import structlog
from batchscribe.transcriber.v1 import child_pb2

from transcriber.child_process import ChildProcess, Limits, Program
from transcriber.job_table import ChildDied, Ending, JobFailed, JobHung, Listener

# After each failed start, the last of them again and again.
_PAUSES_SECONDS = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 30.0)
_STARTS_WAITED_FOR = 3

log = structlog.get_logger()


class ChildUnavailable(Exception):
    """No process could be started, for the reason that is the cause."""


class Child:
    """Processes of one program, one after the other. Not for use from several event loops."""

    def __init__(self, program: Program, limits: Limits, on_change: Callable[[], None]) -> None:
        self._program = program
        self._limits = limits
        self._on_change = on_change
        self._process: ChildProcess | None = None
        self._next: asyncio.Future[ChildProcess] = asyncio.get_running_loop().create_future()
        self.is_able = False  # Between a death and the next start there is hope.
        self._failed_starts = 0
        self._supervising: asyncio.Task[None] | None = None
        self._lives: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> child_pb2.ChildState:
        """What the process says that takes the jobs now."""
        return self._process.state if self._process else child_pb2.ChildState()

    def start(self) -> None:
        """Keep a process running until ``stop``."""
        self._supervising = asyncio.create_task(self._supervise(), name=self._program.module)

    async def stop(self) -> None:
        """Kill the processes; their jobs fail with ChildDied."""
        if self._supervising is not None:
            ending = [self._supervising, *self._lives]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def ready(self) -> None:
        """Return when there is a process that takes jobs. Raises ChildUnavailable."""
        await asyncio.shield(self._next)

    async def run(self, request: child_pb2.ChildRequest, on_news: Listener) -> child_pb2.ChildReply:
        """Return the reply that ends the job; those before it go to ``on_news``.

        Cancelling the call stops the job and waits until it has stopped. Raises JobFailed,
        JobHung, ChildDied, ChildUnavailable.
        """
        process = await asyncio.shield(self._next)
        return await process.run(request, on_news)

    async def _supervise(self) -> None:
        while True:
            process = ChildProcess(self._program, self._limits, self._on_change)
            life = asyncio.create_task(self._live(process))
            self._lives.add(life)
            life.add_done_callback(self._lives.discard)
            try:
                await process.warm_up()
            except (ChildDied, JobFailed, JobHung) as failure:
                life.cancel()
                self._fail(failure)
                pause = min(self._failed_starts, len(_PAUSES_SECONDS)) - 1
                await asyncio.sleep(_PAUSES_SECONDS[pause])
            else:
                self._promote(process)
                await process.over.wait()

    async def _live(self, process: ChildProcess) -> None:
        try:
            await process.live()
        finally:
            if self._process is process:
                self._process = None
                self._next = asyncio.get_running_loop().create_future()
                self._on_change()

    def _promote(self, process: ChildProcess) -> None:
        previous, self._process = self._process, process
        self.is_able = True
        self._failed_starts = 0
        if previous is not None:
            previous.retire()
            self._next = asyncio.get_running_loop().create_future()
        self._next.set_result(process)
        self._on_change()

    def _fail(self, failure: Exception) -> None:
        self._failed_starts += 1
        if self._process is not None or (self.is_able and self._may_pass(failure)):
            return
        if self.is_able:
            log.error("child does not come back", module=self._program.module, why=str(failure))
        self.is_able = False
        unavailable = ChildUnavailable(self._program.module)
        unavailable.__cause__ = failure
        self._next.set_exception(unavailable)
        self._next.exception()  # It may be that nobody waits.
        self._next = asyncio.get_running_loop().create_future()
        self._on_change()

    def _may_pass(self, failure: Exception) -> bool:
        """Tell whether to hope for the next start; one that says why it failed fails again."""
        is_crash = isinstance(failure, ChildDied) and failure.ending is Ending.CRASHED
        return is_crash and self._failed_starts < _STARTS_WAITED_FOR
