"""The installed ``batchscribe`` command, run as a user does: as a process of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROGRAM = (sys.executable, "-P", "-m", "batchscribe.cli")


@dataclass(frozen=True)
class Finished:
    """What a command printed and how it ended."""

    code: int
    output: str
    errors: str


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """An environment without the user's own servers, with ``data_dir`` as the default one.

    Transcribers of such a server may fetch from servers of the tests.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BATCHSCRIBE_")}
    given = {
        "BATCHSCRIBE_DATA_DIR": str(data_dir),
        "TRANSCRIBER_EGRESS_ALLOW": "127.0.0.1:*",
        "COLUMNS": "200",
    }
    return kept | given | more


async def start(
    *arguments: str, env: Mapping[str, str], cwd: Path | None = None
) -> asyncio.subprocess.Process:
    """Start the command in a process group of its own, as a shell does."""
    return await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        cwd=cwd,
        process_group=0,
    )


async def finish(process: asyncio.subprocess.Process, given: str = "") -> Finished:
    output, errors = await process.communicate(given.encode())
    return Finished(process.returncode or 0, output.decode(), errors.decode())


async def run(
    *arguments: str, env: Mapping[str, str], given: str = "", cwd: Path | None = None
) -> Finished:
    """Run the command to its end, with ``given`` on its standard input."""
    return await finish(await start(*arguments, env=env, cwd=cwd), given)


async def until_said(process: asyncio.subprocess.Process, words: str) -> str:
    """Read standard error up to the line that holds ``words`` and return what was read."""
    assert process.stderr is not None
    said = ""
    while words not in said:
        line = (await process.stderr.readline()).decode()
        assert line, f"it ended without saying {words!r}:\n{said}"
        said += line
    return said


def interrupt(process: asyncio.subprocess.Process) -> None:
    """Press Ctrl-C: the signal goes to the whole process group."""
    os.killpg(process.pid, signal.SIGINT)
