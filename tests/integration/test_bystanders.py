"""Clients that leave, never read or come in numbers, and foreign data: nobody else notices."""

import asyncio
from typing import Any

import grpc
import pytest
import redis.asyncio
from batchscribe.v1.batch_pb2 import BatchOptions, BatchState
from batchscribe.v1.batch_service_pb2 import WatchBatchRequest

from gateway.store import connect, keys
from gateway.store.connection import CONNECTIONS
from gateway.store.pipeline import Pipeline
from servicekit.status import reason_of
from tests.running_gateway import METADATA, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running, waiting
from tests.support import wait_until

USER = "local"
ONE_BY_ONE = BatchOptions(parallel=False)


async def test_a_storm_of_cancels_crosses_no_replies(redis_url: str) -> None:
    """Whoever of ten thousand callers stays gets its own reply, however many leave midway."""
    client = connect(redis_url)
    pipeline = Pipeline(client)
    asked = [asyncio.create_task(pipeline.run("ECHO", f"{n}")) for n in range(10_000)]
    await asyncio.sleep(0)
    for leaver in asked[::2]:
        leaver.cancel()
    replies = await asyncio.gather(*asked[1::2])
    assert replies == [f"{n}".encode() for n in range(1, 10_000, 2)]
    assert await pipeline.run("ECHO", "after") == b"after"
    await client.aclose()


async def test_watchers_cost_no_connection_to_redis(redis_url: str) -> None:
    """However many watch, and whether they read or not, Redis sees the gateway's few sockets."""
    gate = asyncio.Event()
    client: Any = redis.asyncio.Redis.from_url(redis_url)
    async with (
        running(ScriptedTranscriber(waiting(gate))) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1", "http://x/2")
        request = WatchBatchRequest(batch_id=batch.batch_id)
        silent = [gateway.stub.WatchBatch(request, metadata=METADATA) for _ in range(300)]
        await asyncio.gather(*(watch.initial_metadata() for watch in silent))
        await wait_until(lambda: len(transcriber.tasks) == 2)
        connections = int((await client.info("clients"))["connected_clients"])
        gate.set()
        ended = await asyncio.wait_for(gateway.ended(batch.batch_id), 20)
        for watch in silent:
            watch.cancel()
    await client.aclose()
    assert ended.state == BatchState.BATCH_STATE_SUCCEEDED
    assert connections <= CONNECTIONS + 1


async def test_foreign_data_ends_in_a_status(redis_url: str) -> None:
    """A batch that somebody else has overwritten is an error of its own; the gateway goes on."""
    client: Any = redis.asyncio.Redis.from_url(redis_url)
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        spoilt = await gateway.create("http://x/1")
        await gateway.ended(spoilt.batch_id)
        await client.hset(keys.key("batch", USER, spoilt.batch_id), "spec", b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.batch(spoilt.batch_id)
        sound = await gateway.create("http://x/2")
        assert (await gateway.ended(sound.batch_id)).state == BatchState.BATCH_STATE_SUCCEEDED
    await client.aclose()
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert reason_of(caught.value) == "INTERNAL"


async def test_a_spoilt_item_holds_nobody_up(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items that somebody else has overwritten are passed over, running or not; others go on."""
    monkeypatch.setattr("gateway.store.batch_store.LEASE_MS", 500)
    monkeypatch.setattr("gateway.dispatch.RENEW_SECONDS", 0.1)
    monkeypatch.setattr("gateway.dispatch.REAP_SECONDS", 0.1)
    gate = asyncio.Event()
    client: Any = redis.asyncio.Redis.from_url(redis_url)

    async def is_forgotten() -> bool:
        return bool(await client.zcard(keys.key("leases")) == 2)

    async with (
        running(ScriptedTranscriber(waiting(gate))) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        spoilt, sound = [await gateway.create(f"http://x/{n}") for n in range(2)]
        serial = await gateway.create(*["http://x/2", "http://x/3"], options=ONE_BY_ONE)
        await wait_until(lambda: len(transcriber.tasks) == 3)
        for item in (spoilt.items[0], serial.items[1]):
            await client.set(keys.key("item", USER, item.item_id), "not ours")
        await wait_until(is_forgotten)
        gate.set()
        ended = [await gateway.ended(sound.batch_id)]
        ended.append(await gateway.ended((await gateway.create("http://x/4")).batch_id))
    await client.aclose()
    assert {batch.state for batch in ended} == {BatchState.BATCH_STATE_SUCCEEDED}
    assert {batch.items[0].attempt_count for batch in ended} == {1}
