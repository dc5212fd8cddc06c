"""The SDK's watch against a real server that breaks off."""

import asyncio
import contextlib

import grpc
import pytest
from batchscribe.client import Client, errors
from batchscribe.v1 import batch_service_pb2
from google.rpc.status_pb2 import Status

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


async def _revisions(client: Client, after_revision: int = 0) -> list[int]:
    return [event.revision async for event in client.watch("batch_1", after_revision)]


def _cursors(gateway: ScriptedGateway) -> list[int]:
    asked = [r for r in gateway.requests if isinstance(r, batch_service_pb2.WatchBatchRequest)]
    return [request.after_revision for request in asked]


async def test_a_cut_watch_sees_every_revision_once() -> None:
    """A stream cut three times yields each change exactly once, in order."""
    gateway = ScriptedGateway(history(items=6))
    cuts = [Connection(messages=n, failure=unavailable()) for n in (2, 0, 3)]
    gateway.connections.extend(cuts)
    async with serving(gateway) as address, Client(address) as client:
        assert await _revisions(client) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert _cursors(gateway) == [0, 2, 2, 5]


async def test_a_repeated_revision_is_dropped() -> None:
    """A server that replays what the caller knows does not make it see anything twice."""
    gateway = ScriptedGateway(history(items=4))
    gateway.connections.append(Connection(messages=3, failure=unavailable()))
    gateway.connections.append(Connection(repeats=2))
    async with serving(gateway) as address, Client(address) as client:
        assert await _revisions(client) == [1, 2, 3, 4, 5, 6]


async def test_a_restarted_server_loses_no_change() -> None:
    """A watch goes on over the end of one server process and the start of the next."""
    port = free_port()
    before, after = ScriptedGateway(history(items=4)), ScriptedGateway(history(items=4))
    before.connections.append(Connection(messages=3, then=asyncio.Event().wait))
    async with contextlib.AsyncExitStack() as first, contextlib.AsyncExitStack() as second:
        client = await second.enter_async_context(Client(f"127.0.0.1:{port}"))
        await first.enter_async_context(serving(before, port))
        seen = []
        async for event in client.watch("batch_1"):
            seen.append(event.revision)
            if len(seen) == 3:
                await first.aclose()
                await second.enter_async_context(serving(after, port))
    assert seen == [1, 2, 3, 4, 5, 6]
    assert _cursors(after) == [3]


async def test_resuming_starts_after_the_given_revision() -> None:
    """A caller that kept its revision gets what came later and no snapshot."""
    gateway = ScriptedGateway(history(items=4))
    async with serving(gateway) as address, Client(address) as client:
        assert await _revisions(client, after_revision=4) == [5, 6]


async def test_a_server_that_lost_revisions_is_watched_from_a_snapshot() -> None:
    """OUT_OF_RANGE begins again with a snapshot instead of ending the watch."""
    gateway = ScriptedGateway(history(items=1))
    gateway.connections.append(Connection(messages=0, failure=_out_of_range()))
    async with serving(gateway) as address, Client(address) as client:
        assert await _revisions(client, after_revision=40) == [1, 2, 3]
    assert _cursors(gateway) == [40, 0]


async def test_heartbeats_are_not_shown() -> None:
    """What only proves that the connection lives does not reach the caller."""
    events = history(items=1)
    events.insert(1, Event(revision=1, heartbeat=batch_service_pb2.Heartbeat()))
    async with serving(ScriptedGateway(events)) as address, Client(address) as client:
        assert await _revisions(client) == [1, 2, 3]


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAUTHENTICATED])
async def test_what_cannot_pass_ends_the_watch(code: grpc.StatusCode) -> None:
    """An unknown batch or a wrong key is raised at the first answer."""
    gateway = ScriptedGateway(history(items=1))
    refusal = status.build(code, "NO", "No.")
    gateway.connections.append(Connection(messages=0, failure=refusal))
    async with serving(gateway) as address, Client(address) as client:
        with pytest.raises(errors.BY_CODE[code]):
            await _revisions(client)
    assert len(gateway.requests) == 1


async def test_patience_ends() -> None:
    """A server that stays silent for longer than the patience raises the last failure."""
    address = f"127.0.0.1:{free_port()}"
    async with Client(address, patience_seconds=0.2) as client:
        with pytest.raises(errors.Unavailable):
            await _revisions(client)


def _out_of_range() -> Status:
    return status.build(grpc.StatusCode.OUT_OF_RANGE, "REVISION_AHEAD", "Not there yet.")
