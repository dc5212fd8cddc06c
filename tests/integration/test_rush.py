"""Everybody comes at once, as after a restart."""

import asyncio
from collections import Counter

import grpc
from batchscribe.v1.batch_service_pb2 import GetBatchRequest

from tests.running_gateway import METADATA, RunningGateway, running_gateway


async def _code_of(gateway: RunningGateway) -> grpc.StatusCode:
    try:
        await gateway.stub.GetBatch(GetBatchRequest(batch_id="batch_0"), metadata=METADATA)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_rush_of_calls_is_answered_whole(redis_url: str) -> None:
    """Of 3,000 calls made at the same moment each gets its own answer; none is cancelled."""
    async with running_gateway(redis_url) as gateway:
        codes = await asyncio.gather(*(_code_of(gateway) for _ in range(3_000)))
    assert Counter(codes) == {grpc.StatusCode.NOT_FOUND: 3_000}
