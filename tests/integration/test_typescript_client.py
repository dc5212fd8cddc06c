"""The TypeScript client against a scripted server; how it watches is in test_client_watch.py."""

import asyncio

import grpc
import pytest
from batchscribe.v1 import batch_pb2, batch_service_pb2
from google.rpc import error_details_pb2

from servicekit import status
from tests.scripted_gateway import (
    Connection,
    ScriptedGateway,
    history,
    serving,
    unavailable,
)
from tests.typescript import said

pytestmark = pytest.mark.needs_npm_packages

CREATED = batch_service_pb2.CreateBatchResponse(batch=batch_pb2.Batch(batch_id="batch_1"))


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
