"""Who works on an item when gateways freeze, race and come back, with leases of half a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
import redis.asyncio
from batchscribe.v1.batch_pb2 import BatchOptions, ItemState
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from structlog.testing import capture_logs

from gateway.store import BatchStore, Lease, Renewal, connect, keys, scripts
from tests.integration.test_store import USER, claim, new_batch, succeed
from tests.redis_proxy import Harm, proxied
from tests.running_gateway import running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, for_ever, running, waiting
from tests.support import wait_until
from tests.valkey import Valkey

SUCCEEDED = ItemState.ITEM_STATE_SUCCEEDED
UUID = "6d1c0f9e-6a3c-4b39-9a51-3a1f3b8a0c11"


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything that takes seconds take tenths of them."""
    monkeypatch.setattr("gateway.store.connection.REPLY_SECONDS", 0.2)
    monkeypatch.setattr("gateway.store.batch_store.LEASE_MS", 500)
    monkeypatch.setattr("gateway.dispatch.RENEW_SECONDS", 0.1)
    monkeypatch.setattr("gateway.dispatch.REAP_SECONDS", 0.1)
    monkeypatch.setattr("gateway.dispatch.STORE_RETRY_SECONDS", 0.05)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[BatchStore]:
    client = connect(redis_url)
    yield BatchStore(client)
    await client.aclose()


@pytest.mark.usefixtures("short_leases")
async def test_a_call_ends_when_its_item_comes_back_to_its_gateway(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that lost a lease and was given the item anew lets the first call go."""
    monkeypatch.setattr("gateway.dispatch.RENEW_SECONDS", 1000)
    async with (
        running(ScriptedTranscriber(for_ever, slots=1)) as first,
        running(ScriptedTranscriber(slots=0)) as second,
        running_gateway(redis_url, [first.address, second.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1")
        await wait_until(lambda: first.tasks)
        first.offer(0)
        second.offer(1)
        ended = await gateway.ended(batch.batch_id)
        await wait_until(lambda: not first.tasks)
    assert ended.items[0].state == SUCCEEDED


@pytest.mark.usefixtures("short_leases")
async def test_a_frozen_gateways_result_comes_too_late(valkey: Valkey, redis_url: str) -> None:
    """A gateway that hangs at its last write loses the item, and the write changes nothing."""
    async with (
        proxied(valkey.path) as proxy,
        running(ScriptedTranscriber()) as first,
        running(ScriptedTranscriber()) as second,
        running_gateway(proxy.url, [first.address]),
    ):
        proxy.harm("finish", Harm.FREEZE)
        async with running_gateway(redis_url) as entry:
            batch = await entry.create("http://x/1")
            await wait_until(lambda: first.seen)
            proxy.freeze()
        async with running_gateway(redis_url, [second.address]) as gateway:
            ended = await asyncio.wait_for(gateway.ended(batch.batch_id), 10)
            proxy.thaw()
            await asyncio.wait_for(proxy.harmed.wait(), 5)
            after = await gateway.batch(batch.batch_id)
    assert ended.items[0].state == SUCCEEDED
    assert after.revision == ended.revision
    assert sum(first.seen.values()) == sum(second.seen.values()) == 1


async def test_a_slow_transcriber_holds_nobody_up(redis_url: str) -> None:
    """While one transcriber is stuck on its items the others do the rest."""
    gate = asyncio.Event()
    async with (
        running(ScriptedTranscriber(waiting(gate), slots=2)) as slow,
        running(ScriptedTranscriber(slots=2)) as quick,
        running_gateway(redis_url, [slow.address, quick.address]) as gateway,
    ):
        urls = [f"http://x/{index}" for index in range(10)]
        batch = await gateway.create(*urls, options=BatchOptions(max_concurrent=10))
        await wait_until(lambda: len(quick.seen) + len(slow.seen) == 10)
        gate.set()
        ended = await gateway.ended(batch.batch_id)
    assert {item.state for item in ended.items} == {SUCCEEDED}
    assert len(slow.seen) <= 2


async def test_a_transcriber_may_go_while_another_is_given_work(valkey: Valkey) -> None:
    """A transcriber that is lost in the middle of a round of claims ends nothing but itself."""
    valkey.flush()
    gate = asyncio.Event()
    async with (
        proxied(valkey.path) as proxy,
        running(ScriptedTranscriber(waiting(gate), slots=8)) as asked_first,
        AsyncExitStack() as stack,
    ):
        goes = await stack.enter_async_context(running(ScriptedTranscriber(waiting(gate))))
        addresses = [asked_first.address, goes.address]
        with capture_logs() as logs:
            async with running_gateway(proxy.url, addresses) as gateway:
                urls = [f"http://x/{index}" for index in range(10)]
                options = BatchOptions(max_concurrent=10)
                first = await gateway.create(*urls, options=options)
                await wait_until(lambda: len(asked_first.tasks) + len(goes.tasks) == 10)
                gate.set()
                await gateway.ended(first.batch_id)
                proxy.harm("claim", Harm.FREEZE)
                await proxy.holding.wait()
                await stack.aclose()
                await wait_until(lambda: "transcriber lost" in {log["event"] for log in logs})
                proxy.thaw()
                batch = await gateway.create("http://x/last")
                ended = await gateway.ended(batch.batch_id)
    assert ended.items[0].state == SUCCEEDED


async def test_what_is_claimed_during_a_drain_is_given_up(valkey: Valkey, redis_url: str) -> None:
    """A lease that arrives when its gateway is going away is not left to run out."""
    transcriber, client = ScriptedTranscriber(), redis.asyncio.Redis.from_url(redis_url)
    async with proxied(valkey.path) as proxy, running(transcriber), AsyncExitStack() as stack:
        async with running_gateway(redis_url) as entry:
            await entry.create("http://x/1")
        # The call that is held must be the one that claims, not one that finds no script.
        await client.script_load(scripts.source("claim"))
        proxy.harm("claim", Harm.FREEZE)
        gateway = await stack.enter_async_context(
            running_gateway(proxy.url, [transcriber.address], drain_grace_seconds=5)
        )
        await proxy.holding.wait()
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            stub: Any = HealthStub(channel)  # Its types lack the methods.
            health = stub.Watch(HealthCheckRequest())
            while (await health.read()).status != HealthCheckResponse.SERVING:
                pass
            leaving = asyncio.create_task(stack.aclose())
            while (await health.read()).status == HealthCheckResponse.SERVING:
                pass
        proxy.thaw()
        await asyncio.wait_for(proxy.harmed.wait(), 5)
        await leaving
        leased = await client.zcard(keys.key("leases"))
    await client.aclose()
    assert not leased
    assert not transcriber.seen


async def test_two_gateways_reap_a_lease_once(
    store: BatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that ran out is taken back by one of those who look, and its epoch grows by one."""
    monkeypatch.setattr("gateway.store.batch_store.LEASE_MS", 0)
    await store.create(USER, new_batch(total=1))
    (lease,) = await claim(store)
    reaped = [taken for taken, _ in await asyncio.gather(*(store.reap() for _ in range(5)))]
    assert sum(reaped) == 1
    (again,) = await claim(store)
    assert again.epoch == lease.epoch + 1


async def test_an_outage_of_redis_takes_no_lease(store: BatchStore, redis_url: str) -> None:
    """If nobody could look for a while, owners may renew before anything is taken from them."""
    await store.create(USER, new_batch(total=1))
    (lease,) = await claim(store)
    await store.reap()
    await let_pass(redis_url, lease, 60_000)
    assert (await store.reap())[0] == 0
    assert await store.renew([lease]) == [Renewal.OK]
    assert await succeed(store, lease)


async def let_pass(redis_url: str, lease: Lease, ms: int) -> None:
    """Let ``ms`` pass for Redis as if it had been away: its clock cannot be moved."""
    client = redis.asyncio.Redis.from_url(redis_url)
    looked = int(await client.get(keys.key("reaped")) or 0)
    await client.set(keys.key("reaped"), looked - ms)
    await client.zincrby(keys.key("leases"), -10_500, lease.member)
    await client.aclose()


async def test_one_request_at_two_gateways_makes_one_batch(redis_url: str) -> None:
    """The same request_id at the same moment at two gateways gives both the same batch."""
    async with running_gateway(redis_url) as one, running_gateway(redis_url) as two:
        made = await asyncio.gather(
            *(gateway.create("http://x/1", request_id=UUID) for gateway in (one, two) * 5)
        )
    assert len({batch.batch_id for batch in made}) == 1
