"""``batchscribe up`` as a process for the length of a test."""

import contextlib
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from pathlib import Path

from tests import command
from tests.process_tree import is_alive, module_of
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
    await wait_until(lambda: not any(is_alive(pid) for pid in pids), _STOP_SECONDS)


def pid_of(module: str, pids: set[int]) -> int:
    """Return the one of ``pids`` that runs ``python -m module``."""
    return next(pid for pid in pids if module_of(pid) == module)
