"""The watches of both clients against a real server that breaks off: the rules are the same."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Protocol

import grpc
import pytest
from batchscribe.client import Client, errors
from batchscribe.v1 import batch_service_pb2

from servicekit import status
from tests.scripted_gateway import (
    Connection,
    Event,
    ScriptedGateway,
    history,
    serving,
    unavailable,
)
from tests.support import free_port
from tests.typescript import driven


class Ended(Exception):
    """A client's own error: what it is called in both languages, and its reason."""


class Watch(Protocol):
    def __call__(
        self, address: str, after: int = 0, patience_ms: int = 600_000
    ) -> AsyncGenerator[int, None]:
        """Yield the revisions that a client shows of a batch; raises Ended."""


async def in_python(
    address: str, after: int = 0, patience_ms: int = 600_000
) -> AsyncGenerator[int, None]:
    async with Client(address, patience_seconds=patience_ms / 1000) as client:
        try:
            async for event in client.watch("batch_1", after):
                yield event.revision
        except errors.BatchscribeError as error:
            raise Ended(type(error).__name__, error.reason) from error


async def in_typescript(
    address: str, after: int = 0, patience_ms: int = 600_000
) -> AsyncGenerator[int, None]:
    asked = ("watch", "batch_1", str(after))
    async with driven(address, *asked, patienceMs=patience_ms) as program:
        async for line in program.lines():
            if "code" in line:
                raise Ended(line["code"], line["reason"])
            yield line["revision"]


@pytest.fixture(
    params=[in_python, pytest.param(in_typescript, marks=pytest.mark.needs_npm_packages)],
    ids=["python", "typescript"],
)
def watch(request: pytest.FixtureRequest) -> Watch:
    chosen: Watch = request.param
    return chosen


def _cursors(gateway: ScriptedGateway) -> list[int]:
    asked = [r for r in gateway.requests if isinstance(r, batch_service_pb2.WatchBatchRequest)]
    return [request.after_revision for request in asked]


async def test_a_cut_watch_sees_every_revision_once(watch: Watch) -> None:
    """A stream cut three times yields each change exactly once, in order."""
    gateway = ScriptedGateway(history(items=6))
    cuts = [Connection(messages=n, failure=unavailable()) for n in (2, 0, 3)]
    gateway.connections.extend(cuts)
    async with serving(gateway) as address:
        assert [one async for one in watch(address)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert _cursors(gateway) == [0, 2, 2, 5]


async def test_a_repeated_revision_is_dropped(watch: Watch) -> None:
    """A server that replays what the caller knows does not make it see anything twice."""
    gateway = ScriptedGateway(history(items=4))
    gateway.connections.append(Connection(messages=3, failure=unavailable()))
    gateway.connections.append(Connection(repeats=2))
    async with serving(gateway) as address:
        assert [one async for one in watch(address)] == [1, 2, 3, 4, 5, 6]


async def test_a_restarted_server_loses_no_change(watch: Watch) -> None:
    """A watch goes on over the end of one server process and the start of the next."""
    port = free_port()
    before, after = ScriptedGateway(history(items=4)), ScriptedGateway(history(items=4))
    before.connections.append(Connection(messages=3, then=asyncio.Event().wait))
    async with contextlib.AsyncExitStack() as first, contextlib.AsyncExitStack() as second:
        address = await first.enter_async_context(serving(before, port))
        seen = []
        async for revision in watch(address):
            seen.append(revision)
            if len(seen) == 3:
                await first.aclose()
                await second.enter_async_context(serving(after, port))
    assert seen == [1, 2, 3, 4, 5, 6]
    assert _cursors(after) == [3]


async def test_resuming_starts_after_the_given_revision(watch: Watch) -> None:
    """A caller that kept its revision gets what came later and no snapshot."""
    async with serving(ScriptedGateway(history(items=4))) as address:
        assert [one async for one in watch(address, after=4)] == [5, 6]


async def test_a_server_that_lost_revisions_is_watched_from_a_snapshot(watch: Watch) -> None:
    """OUT_OF_RANGE begins again with a snapshot instead of ending the watch."""
    gateway = ScriptedGateway(history(items=1))
    ahead = status.build(grpc.StatusCode.OUT_OF_RANGE, "REVISION_AHEAD", "Not there yet.")
    gateway.connections.append(Connection(messages=0, failure=ahead))
    async with serving(gateway) as address:
        assert [one async for one in watch(address, after=40)] == [1, 2, 3]
    assert _cursors(gateway) == [40, 0]


async def test_heartbeats_are_not_shown(watch: Watch) -> None:
    """What only proves that the connection lives does not reach the caller."""
    events = history(items=1)
    events.insert(1, Event(revision=1, heartbeat=batch_service_pb2.Heartbeat()))
    async with serving(ScriptedGateway(events)) as address:
        assert [one async for one in watch(address)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (grpc.StatusCode.NOT_FOUND, "NotFound"),
        (grpc.StatusCode.UNAUTHENTICATED, "Unauthenticated"),
    ],
)
async def test_what_cannot_pass_ends_the_watch(
    watch: Watch, code: grpc.StatusCode, name: str
) -> None:
    """An unknown batch or a wrong key is raised at the first answer."""
    gateway = ScriptedGateway(history(items=1))
    gateway.connections.append(Connection(messages=0, failure=status.build(code, "NO", "No.")))
    async with serving(gateway) as address:
        with pytest.raises(Ended) as ended:
            await anext(watch(address))
    assert ended.value.args == (name, "NO")
    assert len(gateway.requests) == 1


async def test_patience_ends(watch: Watch) -> None:
    """A server that stays silent for longer than the patience raises the last failure."""
    with pytest.raises(Ended, match="Unavailable"):
        await anext(watch(f"127.0.0.1:{free_port()}", patience_ms=200))
