"""What one connection may do: calls, bytes, metadata, pings."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from batchscribe.v1.batch_pb2 import VideoSpec
from batchscribe.v1.batch_service_pb2 import (
    CreateBatchRequest,
    GetBatchRequest,
    ListModelsRequest,
    WatchBatchRequest,
)
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub

from gateway.server import MAX_REQUEST_BYTES
from servicekit import status
from servicekit.serve import MAX_METADATA_BYTES
from tests.running_gateway import METADATA, RunningGateway, running_gateway

# A client that pings all the time; gRPC's own limits for clients are off.
FLOOD = (
    ("grpc.keepalive_time_ms", 10),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[RunningGateway]:
    async with running_gateway(redis_url, max_streams_per_connection=3) as running:
        yield running


async def test_a_flood_of_pings_ends_the_connection(gateway: RunningGateway) -> None:
    """Who pings all the time is sent away with GOAWAY; others notice nothing."""
    batch = await gateway.create("http://x/1")
    request = WatchBatchRequest(batch_id=batch.batch_id)
    quiet = gateway.stub.WatchBatch(request, metadata=METADATA)
    await quiet.read()
    async with grpc.aio.insecure_channel(gateway.address, options=FLOOD) as channel:
        flooding = BatchServiceStub(channel).WatchBatch(request, metadata=METADATA)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(to_its_end(flooding), 20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "too_many_pings" in str(caught.value.debug_error_string()).lower().replace(" ", "_")
    assert not quiet.done()
    quiet.cancel()


async def to_its_end(call: "grpc.aio.UnaryStreamCall[Any, Any]") -> None:
    async for _ in call:
        pass


async def test_calls_over_the_limit_of_a_connection_wait(gateway: RunningGateway) -> None:
    """A connection has so many calls at a time; the next one starts when one of them ends."""
    batch = await gateway.create("http://x/1")
    request = WatchBatchRequest(batch_id=batch.batch_id)
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = BatchServiceStub(channel)
        watches = [stub.WatchBatch(request, metadata=METADATA) for _ in range(3)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListModels(ListModelsRequest(), metadata=METADATA, timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        watches[0].cancel()
        await stub.ListModels(ListModelsRequest(), metadata=METADATA, timeout=5)


async def test_large_requests_are_refused_unread(gateway: RunningGateway) -> None:
    """A message over the limit is RESOURCE_EXHAUSTED, however small what it says."""
    request = GetBatchRequest(batch_id="x" * (MAX_REQUEST_BYTES + 1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.GetBatch(request, metadata=METADATA)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_large_metadata_is_refused(gateway: RunningGateway) -> None:
    """Metadata over the limit is RESOURCE_EXHAUSTED before any key is looked at."""
    padding = ("padding", "x" * (MAX_METADATA_BYTES + 1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.ListModels(ListModelsRequest(), metadata=(padding,))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_all_violations_of_the_largest_batch_fit_into_trailers(
    gateway: RunningGateway,
) -> None:
    """A client with gRPC's own limits reads what is wrong with hundreds of bad videos."""
    request = CreateBatchRequest(videos=[VideoSpec(url="ftp://x", language="xx")] * 500)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.CreateBatch(request, metadata=METADATA)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert status.reason_of(caught.value) == "INVALID_REQUEST"
