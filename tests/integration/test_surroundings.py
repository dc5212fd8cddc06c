"""What machines and networks do to a gateway: full disks, wrong clocks, slow and dead lines."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis.asyncio
from batchscribe.v1.batch_pb2 import Batch, BatchOptions, ItemState
from batchscribe.v1.batch_service_pb2 import WatchBatchRequest
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from gateway.store import keys
from gateway.store.batch_store import LEASE_MS
from servicekit.serve import SERVER_OPTIONS, CannotListen
from servicekit.status import reason_of
from tests.faketime import Clock
from tests.redis_proxy import proxied
from tests.running_gateway import METADATA, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running, waiting
from tests.support import wait_until
from tests.tcp_relay import TcpRelay
from tests.valkey import Valkey

SUCCEEDED = ItemState.ITEM_STATE_SUCCEEDED
SERVING = HealthCheckResponse.SERVING
HOUR_SECONDS = 3600
LEASES, REAPED = keys.key("leases"), keys.key("reaped")
KEEPALIVE = ("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms")


def outcomes(batch: Batch) -> list[tuple[ItemState.ValueType, int]]:
    return [(item.state, item.attempt_count) for item in batch.items]


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A server that nobody else uses."""
    server = Valkey()
    server.start()
    yield server
    server.close()


@dataclass(frozen=True)
class JumpyValkey:
    """A server and its clock."""

    valkey: Valkey
    clock: Clock


@pytest.fixture
def jumpy(tmp_path: Path) -> Iterator[JumpyValkey]:
    clock = Clock(tmp_path / "clock")
    server = Valkey(clock.environment)
    server.start()
    yield JumpyValkey(server, clock)
    server.close()


@asynccontextmanager
async def health_of(address: str) -> AsyncIterator[Any]:  # The stub's types lack its methods.
    async with grpc.aio.insecure_channel(address) as channel:
        yield HealthStub(channel)


@pytest.mark.parametrize("name", ["listen", "http_listen"])
async def test_an_address_that_is_taken_is_named(redis_url: str, name: str) -> None:
    """A gateway that cannot listen says where, and does not begin."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings: dict[str, Any] = {name: address}
        with pytest.raises(CannotListen, match=f"{address} cannot be listened on"):
            async with running_gateway(redis_url, **settings):
                pass


async def test_a_full_disk_loses_nothing_that_was_acknowledged(own_valkey: Valkey) -> None:
    """Redis ends rather than answer what it cannot keep; with room again all goes on."""
    gate = asyncio.Event()
    async with (
        running(ScriptedTranscriber(waiting(gate))) as transcriber,
        running_gateway(own_valkey.url, [transcriber.address]) as gateway,
        health_of(gateway.address) as health,
    ):

        async def is_refused() -> bool:
            return bool((await health.Check(HealthCheckRequest())).status != SERVING)

        batch = await gateway.create("http://x/1")
        await wait_until(lambda: transcriber.tasks)
        own_valkey.fill_disk()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.create("http://x/2")
        gate.set()
        await wait_until(is_refused)
        own_valkey.kill()
        own_valkey.start()
        ended = await wait_until(lambda: gateway.if_ended(batch.batch_id), 20)
    assert reason_of(caught.value) == "STORE_UNAVAILABLE"
    assert outcomes(ended) == [(SUCCEEDED, 1)]
    assert dict(transcriber.seen) == {"http://x/1": 1}


@pytest.mark.needs_faketime
@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_of_redis_that_jumps_costs_no_work(
    jumpy: JumpyValkey, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Whether it goes forward or back an hour, what runs ends under the lease it has."""
    monkeypatch.setattr("gateway.dispatch.RENEW_SECONDS", 0.2)
    gate = asyncio.Event()
    async with (
        aclosing(redis.asyncio.Redis.from_url(jumpy.valkey.url)) as client,
        running(ScriptedTranscriber(waiting(gate))) as transcriber,
        running_gateway(jumpy.valkey.url, [transcriber.address]) as gateway,
    ):

        async def is_in_step() -> bool:
            """Return whether leases and the last look for overdue ones are of this hour."""
            now_ms = int((await client.time())[0]) * 1000
            leases: Any = await client.zrange(LEASES, 0, -1, withscores=True)
            times = [*(until_ms for _, until_ms in leases), int(await client.get(REAPED) or 0)]
            return all(abs(at_ms - now_ms) < 2 * LEASE_MS for at_ms in times)

        batch = await gateway.create("http://x/1", "http://x/2", "http://x/3")
        await wait_until(lambda: len(transcriber.tasks) == 3)
        jumpy.clock.jump_to(hours * HOUR_SECONDS)
        await wait_until(is_in_step)
        later = await gateway.create("http://x/4")
        await wait_until(lambda: len(transcriber.tasks) == 4)
        gate.set()
        ended = [await gateway.ended(one.batch_id) for one in (batch, later)]
    assert [outcomes(batch) for batch in ended] == [[(SUCCEEDED, 1)] * 3, [(SUCCEEDED, 1)]]
    assert set(transcriber.seen.values()) == {1}


async def test_a_slow_redis_delays_and_costs_no_attempt(valkey: Valkey) -> None:
    """With every command a tenth of a second late a batch ends as ever, only later."""
    valkey.flush()
    async with (
        proxied(valkey.path) as proxy,
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(proxy.url, [transcriber.address]) as gateway,
    ):
        proxy.slow_down(0.1)
        urls = [f"http://x/{index}" for index in range(6)]
        batch = await gateway.create(*urls, options=BatchOptions(max_concurrent=6))
        ended = await wait_until(lambda: gateway.if_ended(batch.batch_id), 30)
        proxy.slow_down(0)
    assert outcomes(ended) == [(SUCCEEDED, 1)] * 6
    assert set(transcriber.seen.values()) == {1}


async def test_a_watcher_that_is_cut_off_is_noticed(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that vanishes without a FIN is let go of when it answers no ping."""
    impatient = [(name, ms // 30 if name in KEEPALIVE else ms) for name, ms in SERVER_OPTIONS]
    monkeypatch.setattr("gateway.server.SERVER_OPTIONS", impatient)
    async with running_gateway(redis_url) as gateway, TcpRelay(gateway.address).serving() as relay:
        batch = await gateway.create("http://x/1")
        async with grpc.aio.insecure_channel(relay.address) as channel:
            request = WatchBatchRequest(batch_id=batch.batch_id)
            watch = BatchServiceStub(channel).WatchBatch(request, metadata=METADATA)
            await watch.read()
            relay.fall_silent()
            assert await asyncio.wait_for(relay.left.wait(), 10), "the connection is still open"
            watch.cancel()
