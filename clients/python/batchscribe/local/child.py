"""One supervised process: watched until ready, restarted when it dies, stopped in bounded time.

A child leads its own process group, so a Ctrl-C on the terminal reaches only the supervisor,
and is tethered: nothing it started stays behind when the supervisor is killed.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from batchscribe.client.retry import Backoff

_TETHER = Path(__file__).with_name("tether.py")
_POLL_SECONDS = 0.05
_LOG_TAIL_LINES = 15
_LOG_LIMIT_BYTES = 10 * 1024 * 1024
_HEALTHY_SECONDS = 60.0


class StackError(Exception):
    """The stack cannot run; the message says why and what helps."""


@dataclass(frozen=True)
class Program:
    """How to run one process and how to see that it is ready."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], Awaitable[bool]]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    standard_input: str = ""
    directory: Path | None = None
    keeps_open: Sequence[int] = ()  # File descriptors that live as long as the process.
    start_seconds: float = 60.0
    stop_seconds: float = 15.0


class Child:
    """A running ``Program``."""

    def __init__(self, program: Program, announce: Callable[[str], None]) -> None:
        self._program = program
        self._announce = announce
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0

    async def start(self) -> None:
        """Run the program and return when it is ready; StackError carries the tail of its log."""
        process = await self._spawn()
        try:
            async with asyncio.timeout(self._program.start_seconds):
                while not await self._program.is_ready():
                    if process.returncode is not None:
                        raise StackError(self._epitaph(f"ended with code {process.returncode}"))
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            await self.stop()
            seconds = self._program.start_seconds
            raise StackError(self._epitaph(f"was not ready within {seconds:.0f} s")) from None

    async def keep_alive(self) -> None:
        """Start the program again, with back-off, whenever it ends; runs until cancelled."""
        clock = asyncio.get_running_loop().time
        backoff = Backoff(base_seconds=0.5, ceiling_seconds=30.0)
        while True:
            started_at = clock()
            code = await self._process.wait() if self._process else None
            if clock() - started_at > _HEALTHY_SECONDS:
                backoff.reset()
            delay = backoff.next_delay()
            self._announce(
                f"The {self._program.name} ended (code {code}); starting it again in {delay:.1f} s."
            )
            await asyncio.sleep(delay)
            with contextlib.suppress(StackError):  # It ended again: the loop says so.
                await self.start()
                self._announce(f"The {self._program.name} is ready again.")

    async def stop(self) -> None:
        """Ask the process to end, and kill what is left of its group after ``stop_seconds``."""
        process = self._process
        if process is None:
            return
        try:
            if process.returncode is None:
                process.terminate()
                async with asyncio.timeout(self._program.stop_seconds):
                    await process.wait()
        except TimeoutError:
            self._announce(f"The {self._program.name} did not stop in time and was killed.")
        finally:
            _kill_group(process.pid)
        await process.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        program = self._program
        command = (sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *program.command)
        with _open_log(program.log) as log:
            self._log_start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **program.environment},
                cwd=program.directory,
                pass_fds=program.keeps_open,
                process_group=0,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(program.standard_input.encode())
        self._process.stdin.close()
        return self._process

    def _epitaph(self, what: str) -> str:
        with self._program.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        tail = "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:])
        return f"The {self._program.name} {what}. Its log, {self._program.log}, ends with:\n{tail}"


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".old.log"))
    return path.open("ab")


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
