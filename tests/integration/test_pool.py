"""Transcribers that come, go and fall silent: how soon the pool knows, and what it costs."""

import asyncio
import time
from typing import Any

import pytest
import redis.asyncio
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    WatchStatusResponse,
)
from batchscribe.v1.batch_pb2 import BatchOptions, ItemState

from gateway.pool import Transcriber, TranscriberPool
from servicekit import tasks
from tests.running_gateway import running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running, waiting
from tests.support import free_port, wait_until
from tests.tcp_relay import TcpRelay

NAME = "transcribers.test"
SUCCEEDED = ItemState.ITEM_STATE_SUCCEEDED
MANY = BatchOptions(max_concurrent=10)
# What a gateway that reaps every second does in ten minutes.
LOOKS = 600


class Resolver:
    """Answers for ``NAME`` as it is told; an empty answer is an error, as it is in DNS."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()
        self.asked = 0

    async def getaddrinfo(self, host: str, port: int, **_: object) -> list[Any]:
        self.asked += 1
        if not self.addresses:
            raise OSError("the name cannot be resolved")
        return [(2, 1, 6, "", (address, port)) for address in self.addresses]

    async def asked_again(self) -> None:
        """Wait until an answer has been asked for and taken."""
        until = self.asked + 2
        await wait_until(lambda: self.asked >= until)


@pytest.fixture
async def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", resolver.getaddrinfo)
    return resolver


@pytest.fixture
def asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.pool.RESOLVE_SECONDS", 0.05)


def urls(count: int) -> list[str]:
    return [f"http://x/{index}" for index in range(count)]


async def test_a_new_transcriber_gets_work_within_fifteen_seconds(
    redis_url: str, resolver: Resolver
) -> None:
    """An address that appears behind a name is found and used, in the middle of a batch."""
    gate, port = asyncio.Event(), free_port()
    resolver.addresses = ("127.0.0.1",)
    busy, new = ScriptedTranscriber(waiting(gate), slots=1), ScriptedTranscriber()
    async with (
        running(busy, f"127.0.0.1:{port}"),
        running_gateway(redis_url, [f"{NAME}:{port}"]) as gateway,
    ):
        batch = await gateway.create(*urls(3), options=MANY)
        await wait_until(lambda: busy.tasks)
        async with running(new, f"127.0.0.2:{port}"):
            resolver.addresses = ("127.0.0.1", "127.0.0.2")
            appeared = time.monotonic()
            await wait_until(lambda: len(new.seen) == 2, 15)
            gate.set()
            ended = await gateway.ended(batch.batch_id)
    assert time.monotonic() - appeared < 15
    assert {item.state for item in ended.items} == {SUCCEEDED}


@pytest.mark.usefixtures("asks_often")
async def test_an_outage_of_dns_ends_no_call(redis_url: str, resolver: Resolver) -> None:
    """While a name cannot be resolved its transcribers are used on."""
    gate, port = asyncio.Event(), free_port()
    resolver.addresses = ("127.0.0.1",)
    async with (
        running(ScriptedTranscriber(waiting(gate)), f"127.0.0.1:{port}") as transcriber,
        running_gateway(redis_url, [f"{NAME}:{port}"]) as gateway,
    ):
        batch = await gateway.create("http://x/1")
        await wait_until(lambda: transcriber.tasks)
        resolver.addresses = ()
        await resolver.asked_again()
        during = await gateway.create("http://x/2")
        await wait_until(lambda: len(transcriber.tasks) == 2)
        gate.set()
        ended = [await gateway.ended(one.batch_id) for one in (batch, during)]
    assert {batch.items[0].state for batch in ended} == {SUCCEEDED}
    assert set(transcriber.seen.values()) == {1}


@pytest.mark.usefixtures("asks_often")
async def test_an_address_that_vanishes_finishes_its_calls(
    redis_url: str, resolver: Resolver
) -> None:
    """A transcriber that is taken out of DNS ends what it has, and work goes to the next."""
    gate, port = asyncio.Event(), free_port()
    resolver.addresses = ("127.0.0.1",)
    old, new = ScriptedTranscriber(waiting(gate)), ScriptedTranscriber()
    async with (
        running(old, f"127.0.0.1:{port}"),
        running(new, f"127.0.0.2:{port}"),
        running_gateway(redis_url, [f"{NAME}:{port}"]) as gateway,
    ):
        first = await gateway.create("http://x/1")
        await wait_until(lambda: old.tasks)
        resolver.addresses = ("127.0.0.2",)
        await resolver.asked_again()
        gate.set()
        ended = await gateway.ended(first.batch_id)
        await resolver.asked_again()
        await gateway.ended((await gateway.create("http://x/2")).batch_id)
    assert ended.items[0].state == SUCCEEDED
    assert dict(old.seen) == {"http://x/1": 1}
    assert dict(new.seen) == {"http://x/2": 1}


@pytest.mark.usefixtures("asks_often")
async def test_a_bug_with_one_status_is_not_the_end_of_its_transcriber() -> None:
    """A transcriber is followed again after what it said has tripped us."""
    heard = 0

    async def trip_once(_: Transcriber, __: WatchStatusResponse) -> None:
        nonlocal heard
        heard += 1
        if heard == 1:
            raise RuntimeError("a bug")

    async with running(ScriptedTranscriber()) as transcriber:
        pool = TranscriberPool([transcriber.address], trip_once)
        following = asyncio.create_task(pool.run())
        await wait_until(lambda: heard > 1)
        (member,) = pool.members.values()
        assert member.free_slots == transcriber.slots
        await tasks.cancel([following])


async def test_a_silent_transcriber_loses_its_work_within_twelve_seconds(redis_url: str) -> None:
    """One that is cut off without a FIN, in the middle of an item, is replaced by another."""
    gate = asyncio.Event()
    cut_off, other = ScriptedTranscriber(waiting(gate)), ScriptedTranscriber(slots=0)
    async with (
        running(cut_off),
        running(other),
        TcpRelay(cut_off.address).serving() as relay,
        running_gateway(redis_url, [relay.address, other.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1")
        await wait_until(lambda: cut_off.tasks)
        relay.fall_silent()
        fell_silent = time.monotonic()
        other.offer(4)
        await wait_until(lambda: other.seen, 12)
        assert time.monotonic() - fell_silent < 12
        ended = await gateway.ended(batch.batch_id)
        gate.set()
    assert ended.items[0].state == SUCCEEDED
    assert ended.items[0].attempt_count == 1


async def test_ten_minutes_without_transcribers_cost_nothing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After as many looks as ten minutes have, all items are there, none with an attempt used."""
    monkeypatch.setattr("gateway.dispatch.REAP_SECONDS", 0.005)
    monkeypatch.setattr("gateway.dispatch.POLL_SECONDS", 0.005)
    monkeypatch.setattr("gateway.pool.REFOLLOW_SECONDS", 0.005)
    client: Any = redis.asyncio.Redis.from_url(redis_url)

    async def looks() -> int:
        return int((await client.info("commandstats"))["cmdstat_evalsha"]["calls"])

    gone, back = ScriptedTranscriber(waiting(asyncio.Event())), ScriptedTranscriber()
    async with running_gateway(redis_url, [address := f"127.0.0.1:{free_port()}"]) as gateway:
        async with running(gone, address):
            batch = await gateway.create(*urls(8), options=MANY)
            await wait_until(lambda: len(gone.tasks) == gone.slots)
        until = await looks() + LOOKS

        async def has_looked_often() -> bool:
            return await looks() >= until

        await wait_until(has_looked_often, 60)
        async with running(back, address):
            ended = await gateway.ended(batch.batch_id)
    await client.aclose()
    assert [item.state for item in ended.items] == [SUCCEEDED] * 8
    assert {item.attempt_count for item in ended.items} == {1}
