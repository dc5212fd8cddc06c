"""The TypeScript client against a server that breaks off: the rules are those of the Python SDK."""

import asyncio
import contextlib

import grpc
import pytest
from batchscribe.v1 import batch_pb2, batch_service_pb2
from google.rpc import error_details_pb2

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
from tests.typescript import driven, said

pytestmark = pytest.mark.needs_npm_packages

CREATED = batch_service_pb2.CreateBatchResponse(batch=batch_pb2.Batch(batch_id="batch_1"))


async def _revisions(address: str, after: int = 0) -> list[int]:
    return [event["revision"] for event in await said(address, "watch", "batch_1", str(after))]


def _cursors(gateway: ScriptedGateway) -> list[int]:
    asked = [r for r in gateway.requests if isinstance(r, batch_service_pb2.WatchBatchRequest)]
    return [request.after_revision for request in asked]


async def test_a_cut_watch_sees_every_revision_once() -> None:
    """A stream cut three times yields each change exactly once, in order."""
    gateway = ScriptedGateway(history(items=6))
    cuts = [Connection(messages=n, failure=unavailable()) for n in (2, 0, 3)]
    gateway.connections.extend(cuts)
    async with serving(gateway) as address:
        assert await _revisions(address) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert _cursors(gateway) == [0, 2, 2, 5]


async def test_a_repeated_revision_is_dropped() -> None:
    """A server that replays what the caller knows does not make it see anything twice."""
    gateway = ScriptedGateway(history(items=4))
    gateway.connections.append(Connection(messages=3, failure=unavailable()))
    gateway.connections.append(Connection(repeats=2))
    async with serving(gateway) as address:
        assert await _revisions(address) == [1, 2, 3, 4, 5, 6]


async def test_a_restarted_server_loses_no_change() -> None:
    """A watch goes on over the end of one server process and the start of the next."""
    port = free_port()
    before, after = ScriptedGateway(history(items=4)), ScriptedGateway(history(items=4))
    before.connections.append(Connection(messages=3, then=asyncio.Event().wait))
    async with contextlib.AsyncExitStack() as first, contextlib.AsyncExitStack() as second:
        address = await first.enter_async_context(serving(before, port))
        program = await second.enter_async_context(driven(address, "watch", "batch_1"))
        seen = [(await program.line())["revision"] for _ in range(3)]
        await first.aclose()
        await second.enter_async_context(serving(after, port))
        seen += [event["revision"] for event in await program.all()]
    assert seen == [1, 2, 3, 4, 5, 6]
    assert _cursors(after) == [3]


async def test_resuming_starts_after_the_given_revision() -> None:
    """A caller that kept its revision gets what came later and no snapshot."""
    async with serving(ScriptedGateway(history(items=4))) as address:
        assert await _revisions(address, after=4) == [5, 6]


async def test_a_server_that_lost_revisions_is_watched_from_a_snapshot() -> None:
    """OUT_OF_RANGE begins again with a snapshot instead of ending the watch."""
    gateway = ScriptedGateway(history(items=1))
    ahead = status.build(grpc.StatusCode.OUT_OF_RANGE, "REVISION_AHEAD", "Not there yet.")
    gateway.connections.append(Connection(messages=0, failure=ahead))
    async with serving(gateway) as address:
        assert await _revisions(address, after=40) == [1, 2, 3]
    assert _cursors(gateway) == [40, 0]


async def test_heartbeats_are_not_shown() -> None:
    """What only proves that the connection lives does not reach the caller."""
    events = history(items=1)
    events.insert(1, Event(revision=1, heartbeat=batch_service_pb2.Heartbeat()))
    async with serving(ScriptedGateway(events)) as address:
        assert await _revisions(address) == [1, 2, 3]


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAUTHENTICATED])
async def test_what_cannot_pass_ends_the_watch(code: grpc.StatusCode) -> None:
    """An unknown batch or a wrong key is thrown at the first answer."""
    gateway = ScriptedGateway(history(items=1))
    gateway.connections.append(Connection(messages=0, failure=status.build(code, "NO", "No.")))
    async with serving(gateway) as address:
        (failure,) = await said(address, "watch", "batch_1")
    assert (failure["code"].upper(), failure["reason"]) == (code.name.replace("_", ""), "NO")
    assert len(gateway.requests) == 1


async def test_patience_ends() -> None:
    """A server that stays silent for longer than the patience throws the last failure."""
    address = f"127.0.0.1:{free_port()}"
    (failure,) = await said(address, "watch", "batch_1", patienceMs=200)
    assert failure["code"] == "Unavailable"


@pytest.mark.parametrize(
    ("action", "more"), [("watchFirst", []), ("watchUntilAborted", [{"reason": "enough"}])]
)
async def test_a_watch_can_be_left(action: str, more: list[dict[str, str]]) -> None:
    """Leaving the loop or aborting ends the call for good, and nothing keeps Node from ending."""
    left = asyncio.Event()

    async def until_left() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    gateway = ScriptedGateway(history(items=2))
    gateway.connections.append(Connection(messages=1, then=until_left))
    async with serving(gateway) as address, asyncio.timeout(20):
        assert await said(address, action, "batch_1") == [{"event": "snapshot"}, *more]
        await left.wait()
    assert len(gateway.requests) == 1


async def test_a_repeated_create_is_the_same_request() -> None:
    """CreateBatch is sent again after UNAVAILABLE, with one request id."""
    gateway = ScriptedGateway()
    gateway.will_answer("CreateBatch", unavailable(), unavailable(retry_seconds=0.01), CREATED)
    async with serving(gateway) as address:
        made = await said(address, "create", "https://example.com/1.mp4", apiKey="secret")
    assert made == [{"batchId": "batch_1"}]
    first, *others = gateway.requests
    assert others == [first, first]
    assert isinstance(first, batch_service_pb2.CreateBatchRequest)
    assert first.request_id
    assert gateway.metadata["authorization"] == "Bearer secret"


async def test_an_error_carries_its_details() -> None:
    """Reason, metadata and every field violation reach the caller, as properties of the error."""
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=f"videos[{n}].url", description="bad")
        for n in range(2)
    ]
    refusal = status.build(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        "Two fields are wrong.",
        metadata={"maxVideosPerBatch": "10"},
        details=[
            error_details_pb2.BadRequest(field_violations=violations),
            status.retry_info(1.5),
        ],
    )
    gateway = ScriptedGateway()
    gateway.will_answer("CreateBatch", refusal)
    async with serving(gateway) as address:
        (failure,) = await said(address, "create", "nonsense", "worse")
    assert failure == {
        "code": "InvalidArgument",
        "message": "Two fields are wrong.",
        "reason": "INVALID_REQUEST",
        "metadata": {"maxVideosPerBatch": "10"},
        "fields": ["videos[0].url", "videos[1].url"],
        "retryAfterMs": 1500,
    }
