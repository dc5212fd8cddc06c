"""How a command comes to a server, how it runs and how it ends in words."""

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from batchscribe.client import Client, discovery
from rich.console import Console

T = TypeVar("T")

# What a person waits for on a command line; the SDK's own default is longer.
_RETRY_SECONDS = 10.0


class Misuse(Exception):
    """The command was called in a way that cannot work; the message says what to do instead."""


@dataclass(frozen=True)
class Target:
    """Which server the user wants; neither set means the one that runs here."""

    server: str | None
    api_key: str | None


@dataclass(frozen=True)
class Session:
    """A client, and whether its server ends with this command."""

    client: Client
    is_embedded: bool = False

    def farewell(self, batch_ids: Sequence[str]) -> str:
        """Return what becomes of the batches when the user leaves."""
        if self.is_embedded:
            return "Stopped. Nothing goes on in the background."
        commands = "\n".join(f"  batchscribe watch {batch_id}" for batch_id in batch_ids)
        return f"You left, but the server goes on with the work. Watch it again with:\n{commands}"


def say(console: Console, sentence: str) -> None:
    """Print a sentence for people, as it is."""
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def run(job: Coroutine[Any, Any, T]) -> T:
    """Run ``job``; SIGTERM and SIGHUP end it in order, as Ctrl-C does."""

    async def stoppable() -> T:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await job

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def ask(target: Target, question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """Return what comes of ``question`` to the server; Misuse if there is none."""

    async def asked() -> T:
        async with connected(target) as client:
            return await question(client)

    return run(asked())


@contextlib.asynccontextmanager
async def connected(target: Target) -> AsyncGenerator[Client, None]:
    """A client of the server that is named or runs here; Misuse if there is none."""
    found = discovery.find(target.server, target.api_key)
    if found is None:
        raise Misuse(discovery.NO_SERVER)
    async with Client(
        found.address, found.api_key, ca_file=found.ca_file, retry_seconds=_RETRY_SECONDS
    ) as client:
        yield client


@contextlib.asynccontextmanager
async def connected_or_embedded(
    target: Target, model: str, console: Console
) -> AsyncGenerator[Session, None]:
    """As ``connected``, but without a server one is started for as long as the block runs."""
    if discovery.find(target.server, target.api_key):
        async with connected(target) as client:
            yield Session(client)
        return
    from batchscribe.local.plan import StackSettings
    from batchscribe.local.stack import running

    announce = partial(say, console)
    # Its own directory: several of these may run at a time, and nothing of them is kept but models.
    with tempfile.TemporaryDirectory(prefix="batchscribe-") as folder:
        settings = StackSettings(
            data_dir=Path(folder),
            model=model or "base",
            model_dir=discovery.default_data_dir() / "models",
        )
        announce("No server is named or runs here: starting one for this job.")
        async with (
            running(settings, announce) as server,
            Client(server.address, server.api_key) as client,
        ):
            yield Session(client, is_embedded=True)
