"""``batchscribe up`` as a process for the length of a test."""

import contextlib
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from pathlib import Path

from tests import command
from tests.support import wait_until

UP = ("up", "--port", "0", "--http-port", "0", "--model", "tiny.en")

_STOP_SECONDS = 30.0


@contextlib.asynccontextmanager
async def up(data_dir: Path, *options: str) -> AsyncGenerator[Process, None]:
    """Run a stack on ``data_dir`` and yield its supervisor once it is ready."""
    process = await command.start(*UP, *options, env=command.environment(data_dir))
    try:
        await command.until_said(process, "Ready.")
        yield process
    finally:
        if process.returncode is None:
            command.interrupt(process)
            await command.finish(process)


async def until_gone(pids: set[int]) -> None:
    """Return when none of the processes is alive any more."""
    await wait_until(lambda: not any(command.is_alive(pid) for pid in pids), _STOP_SECONDS)


def pid_of(module: str, pids: set[int]) -> int:
    """Return the one of ``pids`` that runs ``python -m module``."""
    for pid in pids:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if arguments[2:4] == [b"-m", module.encode()]:
            return pid
    raise AssertionError(f"no {module} among {pids}")
