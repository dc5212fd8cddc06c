"""Every script under every harm that a connection can come to, and Redis as a whole under some.

A transition whose fate is unknown is asked for again. Whatever became of the first try, Redis must
then hold what one undisturbed call leaves there.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import redis.asyncio
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1.batch_pb2 import (
    ATTEMPT_RESULT_SUCCEEDED,
    Batch,
    BatchItem,
    BatchOptions,
    ItemError,
    ItemState,
)
from batchscribe.v1.batch_service_pb2 import ListBatchesRequest
from batchscribe.v1.webhook_service_pb2 import DeliveryState
from redis.asyncio import Redis

from gateway.errors import NotFound, StoreFull, StoreUnavailable, WrongState
from gateway.store import (
    Accounts,
    Allowance,
    BatchStore,
    Figures,
    Lease,
    Ledger,
    Message,
    NewBatch,
    NewKey,
    Outbox,
    Release,
    SendResult,
    Vacancy,
    connect,
    keys,
    scripts,
)
from gateway.store.batch_store import LEASE_MS
from gateway.store.scripts import NAMES
from servicekit.status import reason_of
from tests.redis_proxy import Harm, RedisProxy, proxied
from tests.running_gateway import METADATA, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running, waiting
from tests.support import wait_until
from tests.valkey import Valkey

USER, BY, TIER = "ann", "root", "standard"
BOOT = "boot-1"
FAILED, SUCCEEDED = ItemState.ITEM_STATE_FAILED, ItemState.ITEM_STATE_SUCCEEDED
HOUR_MS = 3_600_000
UUID = "0f9d5a52-0d4c-4b0e-9f60-5b9be8a8d1a1"

# Keys that hold no state: what woke whom, when somebody looked, and answers kept for repeats.
STATELESS = re.compile(r"\{bs\}:(wake|reaped|turn|op:.*)")
MILLISECONDS = re.compile(rb"1[0-9]{12}")


@dataclass(frozen=True)
class World:
    """A store with something for every script to do, and the leases that are held in it."""

    store: BatchStore
    outbox: Outbox
    ledger: Ledger
    accounts: Accounts
    figures: Figures
    lease: Lease
    playlist: Lease
    message: Message


def new_batch(batch_id: str, total: int, max_total: int | None = None) -> NewBatch:
    options = BatchOptions(
        parallel=True,
        continue_on_error=True,
        max_concurrent=total,
        notify_webhook="http://receiver.test/",
    )
    items = []
    for index in range(total):
        item_id = f"item_{batch_id.removeprefix('batch_')}_{index}"
        shown = BatchItem(item_id=item_id, index=index, url="http://x.test/")
        items.append((shown, TranscribeRequest(task_id=item_id, url="http://x.test/")))
    batch = Batch(batch_id=batch_id, options=options)
    return NewBatch(batch, items, request_id=batch_id, max_total=max_total)


async def make_world(url: str, lent: Redis) -> World:
    """Store, undisturbed, something for every script to do through ``lent``."""
    client: Any = redis.asyncio.Redis.from_url(url, protocol=3)
    store = BatchStore(client)
    for batch_id in ("batch_ended", "batch_told"):
        await store.create(USER, new_batch(batch_id, 1))
        (lease,) = await store.claim(f"op-{batch_id}", [Vacancy("w1", 9, 1)])
        await store.finish(lease, FAILED, BatchItem(error=ItemError(reason="NO_AUDIO")))
    (message,) = await Outbox(client).claim(1, HOUR_MS)
    await store.create(USER, new_batch("batch_listed", 1, max_total=9))
    (playlist,) = await store.claim("op-listed", [Vacancy("w1", 9, 1)])
    await store.create(USER, new_batch("batch_open", 4))
    suspect, overdue, lease = await store.claim("op-open", [Vacancy("w1", 9, 3)])
    await store.release(suspect, Release.LOST, delay_ms=HOUR_MS, boot_id=BOOT)
    await client.zadd(keys.key("leases"), {overdue.member: 1})
    await Outbox(client).rotate("bob", "whsec_old", HOUR_MS)
    await Accounts(client).enrol(BY, NewKey("known", b"digest"), USER, default_tier=TIER)
    await client.aclose()
    stores = (BatchStore(lent), Outbox(lent), Ledger(lent), Accounts(lent), Figures(lent))
    return World(*stores, lease, playlist, message)


# What each script is called for, as the product calls it.
CALLS: dict[str, Callable[[World], Awaitable[object]]] = {
    "create": lambda w: w.store.create(USER, new_batch("batch_new", 2)),
    "claim": lambda w: w.store.claim("op-3", [Vacancy("w2", 1, 1)]),
    "stage": lambda w: w.store.stage(
        w.lease, "w1", ItemState.ITEM_STATE_TRANSCRIBING, "Title", 2000
    ),
    "expand": lambda w: w.store.expand(w.playlist, new_batch("batch_found", 3).items, is_cut=False),
    "renew": lambda w: w.store.renew([w.lease]),
    "finish": lambda w: w.store.finish(
        w.lease, SUCCEEDED, BatchItem(transcription_id="trans_1"), transcript=b"text"
    ),
    "release": lambda w: w.store.release(
        w.lease, Release.RETRY, delay_ms=HOUR_MS, error=ItemError(reason="SOURCE_FETCH_FAILED")
    ),
    "reap": lambda w: w.store.reap(),
    "blame": lambda w: w.store.blame(BOOT),
    "cancel": lambda w: w.store.cancel(USER, "batch_open", []),
    "retry": lambda w: w.store.retry(USER, "batch_ended"),
    "delete": lambda w: w.store.delete(USER, "batch_ended"),
    "read": lambda w: w.store.batch(USER, "batch_open", with_items=True),
    "usage": lambda w: w.ledger.standing(USER, Allowance(1, 1, 1)),
    "outbox": lambda w: w.outbox.claim(1, HOUR_MS),
    "sent": lambda w: w.outbox.record(
        w.message, SendResult(DeliveryState.DELIVERY_STATE_PENDING, 500, "no", HOUR_MS)
    ),
    "resend": lambda w: w.outbox.redeliver(USER, w.message.webhook_id),
    "deliveries": lambda w: w.outbox.deliveries(USER, "batch_ended"),
    "secrets": lambda w: w.outbox.secrets(USER, "whsec_spare"),
    "rotate": lambda w: w.outbox.rotate(USER, "whsec_new", HOUR_MS),
    "reseal": lambda w: w.outbox.reseal("bob", "whsec_old", "sealed:whsec_old"),
    "enrol": lambda w: w.accounts.enrol(
        BY, NewKey("new1", b"digest", ttl_ms=HOUR_MS), "bob", default_tier=TIER
    ),
    "identify": lambda w: w.accounts.identify("known"),
    "revoke": lambda w: w.accounts.revoke(BY, "known"),
    "ended": lambda w: w.figures.take_ends(),
    "account": lambda w: w.accounts.set_account(BY, USER, role="admin", default_tier=TIER),
}


# These change nothing, or only a point in time.
UNSEEN = {"read", "usage", "deliveries", "renew", "identify"}


def test_every_script_is_put_to_the_test() -> None:
    """No script is without a call here, so a new one has to stand the harms too."""
    assert CALLS.keys() == set(NAMES)


@asynccontextmanager
async def harmed_world(valkey: Valkey) -> AsyncIterator[tuple[World, RedisProxy]]:
    """Give a world whose calls go through a proxy, in an empty Redis."""
    valkey.flush()
    async with proxied(valkey.path) as proxy:
        client = connect(proxy.url)
        yield await make_world(valkey.url, client), proxy
        await client.aclose()


async def insist(call: Callable[[], Awaitable[object]]) -> None:
    """Call again while the store is away; done before is as good as done now."""
    while True:
        with suppress(StoreUnavailable):
            with suppress(NotFound, WrongState):
                await call()
            return


async def contents(url: str) -> dict[str, object]:
    """Return all state in Redis, with every point in time made the same."""
    client: Any = redis.asyncio.Redis.from_url(url)
    names = [name async for name in client.scan_iter(count=1000)]
    dumps: dict[str, object] = {
        name.decode(): (await _content(client, name), await client.pttl(name) > 0)
        for name in sorted(names)
        if not STATELESS.fullmatch(name.decode())
    }
    await client.aclose()
    return dumps


async def _content(client: Any, name: bytes) -> bytes:
    kind = (await client.type(name)).decode()
    reads = {
        "string": lambda: client.get(name),
        "hash": lambda: client.hgetall(name),
        "set": lambda: client.smembers(name),
        "zset": lambda: client.zrange(name, 0, -1, withscores=True),
        "stream": lambda: client.xrange(name),
    }
    found = await reads[kind]()
    if kind in ("hash", "set"):
        found = sorted(found.items() if kind == "hash" else found)
    return MILLISECONDS.sub(b"<ms>", repr(found).encode())


@pytest.mark.parametrize("harm", Harm)
@pytest.mark.parametrize("name", NAMES)
async def test_a_repeated_call_has_one_effect(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, name: str, harm: Harm
) -> None:
    """Whatever happens to a script's connection, asking again leaves what one call leaves."""
    monkeypatch.setattr("gateway.store.connection.REPLY_SECONDS", 0.2)
    async with harmed_world(valkey) as (world, _):
        before = await contents(valkey.url)
        await insist(lambda: CALLS[name](world))
        expected = await contents(valkey.url)
    assert name in UNSEEN or expected != before, "this call does nothing that could go wrong"
    async with harmed_world(valkey) as (world, proxy):
        proxy.harm(name, harm)
        await insist(lambda: CALLS[name](world))
        proxy.thaw()
        await asyncio.wait_for(proxy.harmed.wait(), 5)
        assert await contents(valkey.url) == expected


async def test_scripts_that_redis_forgot_are_sent_again(valkey: Valkey) -> None:
    """SCRIPT FLUSH in the middle of a batch is not noticed."""
    async with harmed_world(valkey) as (world, _):
        client: Any = redis.asyncio.Redis.from_url(valkey.url)
        await client.script_flush()
        await client.aclose()
        assert await CALLS["finish"](world)
        stored = await world.store.batch(USER, "batch_open", with_items=True)
        assert SUCCEEDED in {item.state for item in stored.batch.items}


async def test_frozen_redis_costs_no_work(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis hangs calls run on; when it is back each result is stored, of one attempt."""
    monkeypatch.setattr("gateway.store.connection.REPLY_SECONDS", 0.3)
    gate = asyncio.Event()
    valkey.flush()
    async with (
        proxied(valkey.path) as proxy,
        running(ScriptedTranscriber(waiting(gate))) as transcriber,
        running_gateway(proxy.url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1", "http://x/2")
        await wait_until(lambda: len(transcriber.tasks) == 2)
        proxy.freeze()
        gate.set()
        await wait_until(lambda: not transcriber.tasks)
        proxy.thaw()
        ended = await wait_until(lambda: gateway.if_ended(batch.batch_id), 20)
    assert [item.state for item in ended.items] == [SUCCEEDED, SUCCEEDED]
    assert [item.attempt_count for item in ended.items] == [1, 1]
    assert set(transcriber.seen.values()) == {1}


async def test_a_claim_whose_answer_is_lost_is_asked_for_again(valkey: Valkey) -> None:
    """What was leased starts with the next look, not when the lease nobody knows of has run out."""
    valkey.flush()
    transcriber = ScriptedTranscriber(slots=0)
    async with (
        proxied(valkey.path) as proxy,
        running(transcriber),
        running_gateway(proxy.url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1", "http://x/2")
        await load_script(valkey.url, "claim")
        proxy.harm("claim", Harm.DROP_REPLY)
        transcriber.offer(4)
        await proxy.harmed.wait()
        await wait_until(lambda: len(transcriber.seen) == 2, LEASE_MS / 1000 / 2)
        ended = await gateway.ended(batch.batch_id)
    assert [(item.state, item.attempt_count) for item in ended.items] == [(SUCCEEDED, 1)] * 2
    assert set(transcriber.seen.values()) == {1}
    assert [attempt.result for attempt in ended.items[0].attempts] == [ATTEMPT_RESULT_SUCCEEDED]


async def load_script(url: str, name: str) -> None:
    client: Any = redis.asyncio.Redis.from_url(url)
    await client.script_load(scripts.source(name))
    await client.aclose()


async def test_a_create_that_runs_out_of_time_leaves_all_or_nothing(valkey: Valkey) -> None:
    """The caller does not know; the same request_id leads to the one batch, with all its videos."""
    valkey.flush()
    urls = [f"http://x/{index}" for index in range(10)]
    async with proxied(valkey.path) as proxy, running_gateway(proxy.url) as gateway:
        # Whoever has left sends no script that Redis lacks.
        await load_script(valkey.url, "create")
        proxy.harm("create", Harm.FREEZE)
        create = asyncio.create_task(gateway.create(*urls, request_id=UUID))
        await proxy.holding.wait()
        create.cancel()
        await asyncio.wait({create})
        proxy.thaw()
        await asyncio.wait_for(proxy.harmed.wait(), 5)
        batch = await gateway.create(*urls, request_id=UUID)
        listed = await gateway.stub.ListBatches(ListBatchesRequest(), metadata=METADATA)
    assert len(batch.items) == 10
    assert [found.batch_id for found in listed.batches] == [batch.batch_id]


async def test_full_memory_refuses_new_batches_and_ends_old_ones(valkey: Valkey) -> None:
    """Without room CreateBatch says so, and what was promised is still finished."""
    async with harmed_world(valkey) as (world, _):
        client: Any = redis.asyncio.Redis.from_url(valkey.url)
        await client.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreFull):
                await CALLS["create"](world)
            for name in ("stage", "renew", "reap", "finish", "outbox", "sent"):
                assert await CALLS[name](world) is not False
            assert await world.store.transcript(USER, "trans_1") == b"text"
        finally:
            await client.config_set("maxmemory", 0)
            await client.aclose()


async def refusals(client: Any, at_least: int = 0) -> int:
    """Return how often Redis said that it is full, 0 for less than ``at_least``."""
    count = (await client.info("errorstats")).get("errorstat_OOM", {"count": 0})["count"]
    return int(count) if count >= at_least else 0


async def test_gateway_outlives_a_full_redis(valkey: Valkey) -> None:
    """Without room nothing new starts, nothing falls over, and work goes on when there is room."""
    valkey.flush()
    client: Any = redis.asyncio.Redis.from_url(valkey.url)
    transcriber = ScriptedTranscriber(slots=0)
    async with (
        running(transcriber),
        running_gateway(valkey.url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1")
        await client.config_set("maxmemory", 1)
        try:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await gateway.create("http://x/2")
            before = await refusals(client)
            transcriber.offer(4)
            await wait_until(lambda: refusals(client, before + 2))
        finally:
            await client.config_set("maxmemory", 0)
        ended = await wait_until(lambda: gateway.if_ended(batch.batch_id))
        await client.aclose()
    assert reason_of(caught.value) == "STORE_FULL"
    assert ended.items[0].state == SUCCEEDED
