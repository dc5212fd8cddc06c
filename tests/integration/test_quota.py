"""Rates and quotas as users meet them, over one gateway and over several."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc
import httpx2
import pytest
from batchscribe.v1 import batch_pb2 as pb
from batchscribe.v1.batch_service_pb2 import GetQuotaRequest, Quota, RetryBatchRequest
from google.rpc import error_details_pb2

from gateway.store import BatchStore, Vacancy, connect
from servicekit import status
from tests.running_gateway import KEY, METADATA, RunningGateway, running_gateway


def details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    sent = status.from_error(error)
    assert sent
    found = {}
    for kind in (error_details_pb2.QuotaFailure, error_details_pb2.RetryInfo):
        for detail in sent.details:
            if detail.Is(kind.DESCRIPTOR):
                found[kind.__name__] = kind.FromString(detail.value)
    return found


async def quota(gateway: RunningGateway) -> Quota:
    response = await gateway.stub.GetQuota(GetQuotaRequest(), metadata=METADATA)
    return response.quota


async def outcomes(calls: Sequence[Coroutine[Any, Any, pb.Batch]]) -> list[grpc.StatusCode]:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    codes = []
    for answer in answers:
        assert isinstance(answer, pb.Batch | grpc.aio.AioRpcError)
        codes.append(grpc.StatusCode.OK if isinstance(answer, pb.Batch) else answer.code())
    return codes


@pytest.mark.parametrize("limit", ["batches_per_minute", "monthly_videos"])
async def test_limits_hold_over_gateways(redis_url: str, limit: str) -> None:
    """Of thirty batches that three gateways are given at once exactly those allowed are made."""
    limits = {"unlimited": {limit: 7}}
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(running_gateway(redis_url, tiers=limits))
            for _ in range(3)
        ]
        codes = await outcomes([gateways[n % 3].create("http://x/1") for n in range(30)])
        assert codes.count(grpc.StatusCode.OK) == 7
        assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 23
        assert (await quota(gateways[0])).videos_reserved == 7


async def test_refusals_say_when_to_come_back(redis_url: str) -> None:
    """Rate and quota: who is over which limit, a sentence, and the time until there is more."""
    limits = {"unlimited": {"batches_per_minute": 1, "monthly_videos": 1}}
    async with running_gateway(redis_url, tiers=limits) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as too_many:
            await gateway.create("http://x/1", "http://x/2")
        await gateway.create("http://x/1")
        with pytest.raises(grpc.aio.AioRpcError) as too_fast:
            await gateway.create("http://x/1")
    assert status.reason_of(too_many.value) == "VIDEO_QUOTA_EXCEEDED"
    assert status.reason_of(too_fast.value) == "RATE_LIMITED"
    for caught in (too_many, too_fast):
        found = details(caught.value)
        assert found["QuotaFailure"].violations[0].subject == "user:local"
        assert found["QuotaFailure"].violations[0].description == caught.value.details()
        assert found["RetryInfo"].retry_delay.ToMilliseconds() > 0
    assert found["RetryInfo"].retry_delay.ToMilliseconds() <= 60_000


async def test_only_checking_costs_nothing(redis_url: str) -> None:
    """validate_only looks at the quota, leaves the rate alone, and reserves nothing."""
    limits = {"unlimited": {"batches_per_minute": 1, "monthly_videos": 1}}
    async with running_gateway(redis_url, tiers=limits) as gateway:
        for _ in range(3):
            await gateway.create("http://x/1", validate_only=True)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.create("http://x/1", "http://x/2", validate_only=True)
        await gateway.create("http://x/1")
    assert status.reason_of(caught.value) == "VIDEO_QUOTA_EXCEEDED"


async def test_quota_tells_limits_and_use(redis_url: str) -> None:
    """GetQuota names the tier, its limits, what is reserved and used, and when it starts anew."""
    tier = {"videos_per_batch": 20, "max_concurrent": 2, "batches_per_minute": 1}
    async with running_gateway(redis_url, tiers={"unlimited": tier}) as gateway:
        batch = await gateway.create("http://x/1", "http://x/2")
        told = await quota(gateway)
    assert batch.options.max_concurrent == 2, "the default is not above the tier's most"
    assert (told.tier, told.max_videos_per_batch, told.max_concurrent) == ("unlimited", 20, 2)
    assert told.batches_per_minute == 1
    assert told.HasField("next_batch_time")
    assert not told.HasField("monthly_videos")
    assert not told.HasField("monthly_audio")
    assert (told.videos_reserved, told.videos_used) == (2, 0)
    assert told.reset_time.ToDatetime().day == 1


async def test_retry_beyond_the_quota_is_refused(redis_url: str) -> None:
    """RetryBatch ends RESOURCE_EXHAUSTED when its videos do not fit into the month."""
    async with running_gateway(redis_url) as gateway:
        batch = await gateway.create("http://x/1")
        redis = connect(redis_url)
        (lease,) = await BatchStore(redis).claim("op", [Vacancy("w1", 1, 1)])
        await BatchStore(redis).finish(lease, pb.ITEM_STATE_FAILED, pb.BatchItem())
        await redis.aclose()
    async with running_gateway(redis_url, tiers={"unlimited": {"monthly_videos": 0}}) as gateway:
        request = RetryBatchRequest(batch_id=batch.batch_id)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.stub.RetryBatch(request, metadata=METADATA)
    assert status.reason_of(caught.value) == "VIDEO_QUOTA_EXCEEDED"


async def test_rest_answers_429_with_retry_after(redis_url: str) -> None:
    """The REST route says the same in its own words: status, reason, sentence, seconds to wait."""
    limits = {"unlimited": {"batches_per_minute": 1}}
    body = {"videos": [{"youtube_url": "https://x.test/1"}]}
    async with (
        running_gateway(redis_url, tiers=limits, http_listen="127.0.0.1:0") as gateway,
        httpx2.AsyncClient(
            base_url=f"http://{gateway.http}", headers={"Authorization": f"Bearer {KEY}"}
        ) as client,
    ):
        assert (await client.post("/api/v1/transcribe/batch", json=body)).status_code == 202
        answer = await client.post("/api/v1/transcribe/batch", json=body)
    assert answer.status_code == 429
    assert answer.json()["reason"] == "RATE_LIMITED"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
