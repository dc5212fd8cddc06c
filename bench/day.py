"""``make bench-day``: many items of a realistic mix over two gateways, as if in a day.

Users differ in how many batches they keep open; lengths and sizes of batches are drawn; some videos
fail, for good or once; transcribers come and go. The queue share of a batch is the part of its
life, from its creation to its end, that it waits for its first video to start.
"""

import argparse
import asyncio
import contextlib
import math
import random
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import grpc
import redis
import uvloop
from batchscribe.v1.batch_pb2 import Batch, BatchOptions, VideoSpec
from batchscribe.v1.batch_service_pb2 import CreateBatchRequest, GetBatchRequest, WatchBatchRequest
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub

from bench import load, processes
from bench.rig import percentile
from gateway.api_key import ApiKey
from gateway.store import Accounts, NewKey, connect
from tests.valkey import Valkey

# Batches that each user keeps open, of ten videos at a time: one wants more than there is.
OPEN_BATCHES = (60, 12, 4, 2, 1, 1, 1, 1)
HOSTS, TRANSCRIBERS_PER_HOST, SLOTS = 4, 4, 16
SHIFT_SECONDS = 5.0
MEDIAN_SECONDS, SIGMA, LONGEST_SECONDS = 0.4, 0.8, 8.0
MEDIAN_BATCH, BATCH_SIGMA, LARGEST_BATCH = 12, 1.2, 500
FAILS_FOR_GOOD, FAILS_ONCE = 0.03, 0.02
SEED = 11
GB = 1e9


@dataclass(frozen=True)
class Stay:
    """How long a batch was there, and how long of that it waited for its first video to start."""

    waited_seconds: float
    seconds: float

    @property
    def queue_share(self) -> float:
        return self.waited_seconds / self.seconds


@dataclass
class Ledger:
    """What is left to create, and what became of the rest; ``stays`` of batches by user."""

    left: int
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))
    created: int = 0
    ended: int = 0
    stays: dict[int, list[Stay]] = field(default_factory=lambda: defaultdict(list))

    def draw(self) -> list[str]:
        """Return the addresses of the next batch; none when all are created."""
        drawn = int(self.dice.lognormvariate(math.log(MEDIAN_BATCH), BATCH_SIGMA))
        size = min(max(1, drawn), LARGEST_BATCH, self.left)
        self.left -= size
        self.created += size
        return [self._address(self.created + number) for number in range(size)]

    def _address(self, number: int) -> str:
        drawn = self.dice.lognormvariate(math.log(MEDIAN_SECONDS), SIGMA)
        luck = self.dice.random()
        fate = "bad" if luck < FAILS_FOR_GOOD else "ok"
        fate = "flaky" if FAILS_FOR_GOOD <= luck < FAILS_FOR_GOOD + FAILS_ONCE else fate
        return f"http://bench.test/{min(drawn, LONGEST_SECONDS):.3f}/{fate}/{number}"


async def work_off(stubs: Sequence[BatchServiceStub], ledger: Ledger, keys: Sequence[str]) -> None:
    """Let every user keep so many batches open until all items are created and ended."""
    async with asyncio.TaskGroup() as users:
        for user, (key, count) in enumerate(zip(keys, OPEN_BATCHES, strict=True)):
            for number in range(count):
                users.create_task(_one_after_another(stubs[number % 2], ledger, user, key))


async def _one_after_another(stub: BatchServiceStub, ledger: Ledger, user: int, key: str) -> None:
    metadata = (("authorization", f"Bearer {key}"),)
    while urls := ledger.draw():
        request = CreateBatchRequest(
            videos=[VideoSpec(url=url) for url in urls],
            options=BatchOptions(max_concurrent=load.MAX_CONCURRENT),
        )
        batch_id = (await stub.CreateBatch(request, metadata=metadata)).batch.batch_id
        async for _ in stub.WatchBatch(WatchBatchRequest(batch_id=batch_id), metadata=metadata):
            pass
        asked = GetBatchRequest(batch_id=batch_id)
        batch = (await stub.GetBatch(asked, metadata=metadata)).batch
        ledger.ended += batch.progress.succeeded + batch.progress.failed
        ledger.stays[user].append(_stay(batch))


def _stay(batch: Batch) -> Stay:
    begun, started, ended = (
        moment.ToNanoseconds() / 1e9
        for moment in (batch.create_time, batch.start_time, batch.end_time)
    )
    return Stay(started - begun, ended - begun)


async def come_and_go(hosts: Sequence[processes.Service]) -> None:
    """Take the transcribers of one host after another away for a shift, for ever."""
    while True:
        for host in hosts:
            await host.tell(0)
            await asyncio.sleep(SHIFT_SECONDS)
            await host.tell(SLOTS)


@asynccontextmanager
async def deployment(valkey: Valkey) -> AsyncIterator[tuple[list[str], list[processes.Service]]]:
    """Run transcribers and two gateways; gives the gateways' addresses and the hosts."""
    count = str(TRANSCRIBERS_PER_HOST)
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(
                processes.started("-m", "bench.transcribers", "--script", "day", "--count", count)
            )
            for _ in range(HOSTS)
        ]
        pool = [address for host in hosts for address in host.said]
        gateways = [
            await stack.enter_async_context(processes.gateway(valkey.url, pool, load.KEY))
            for _ in range(2)
        ]
        for host in hosts:
            await host.tell(SLOTS)
        yield [gateway.said["listening"] for gateway in gateways], hosts


async def enrol(url: str) -> list[str]:
    """Give each user a key."""
    keys = [ApiKey.new() for _ in OPEN_BATCHES]
    async with contextlib.aclosing(connect(url)) as client:
        for number, key in enumerate(keys):
            await Accounts(client).enrol(
                "bench",
                NewKey(key.key_id, key.digest),
                f"user{number}",
                tier="unlimited",
                default_tier="unlimited",
            )
    return [key.text for key in keys]


async def measure(items: int) -> Ledger:
    """Run the day, print what it was like and return what became of everything."""
    valkey, ledger = Valkey(), Ledger(items)
    try:
        valkey.start()
        keys = await enrol(valkey.url)
        async with deployment(valkey) as (addresses, hosts), AsyncExitStack() as stack:
            channels = [
                await stack.enter_async_context(grpc.aio.insecure_channel(address))
                for address in addresses
            ]
            begun = time.perf_counter()
            shifts = asyncio.create_task(come_and_go(hosts))
            await work_off([BatchServiceStub(channel) for channel in channels], ledger, keys)
            shifts.cancel()
            report(ledger, time.perf_counter() - begun, valkey)
            return ledger
    finally:
        valkey.close()


def report(ledger: Ledger, seconds: float, valkey: Valkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        memory, cpu = client.info("memory"), client.info("cpu")
        scripts = client.info("commandstats")["cmdstat_evalsha"]["calls"] / ledger.ended
    busy = (cpu["used_cpu_user"] + cpu["used_cpu_sys"]) / seconds
    print(
        f"{seconds:.0f} s, {ledger.ended / seconds:.0f} items/s; "
        f"Redis: {busy:.2f} of a core, {scripts:.1f} scripts an item"
    )
    print(
        f"{'open batches':>12}{'batches':>9}{'p50 wait s':>12}{'p99 wait s':>12}{'p99 share':>12}"
    )
    for user, stays in sorted(ledger.stays.items()):
        waits = [stay.waited_seconds for stay in stays]
        middle, late = percentile(waits, 50), percentile(waits, 99)
        print(
            f"{OPEN_BATCHES[user]:>12}{len(stays):>9}{middle:>12.2f}{late:>12.2f}"
            f"{_p99_share(stays):>12.3f}"
        )
    print("share: part of a batch's life that it waits for its first video to start")
    everybody = [stay for stays in ledger.stays.values() for stay in stays]
    print(
        f"bench-day: items={ledger.created} lost={ledger.created - ledger.ended} "
        f"p99_queue_share={_p99_share(everybody):.3f} "
        f"redis_gb={memory['used_memory_peak'] / GB:.3f}"
    )


def _p99_share(stays: Sequence[Stay]) -> float:
    return percentile([stay.queue_share for stay in stays], 99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    ledger = uvloop.run(measure(parser.parse_args().items))
    sys.exit(ledger.ended != ledger.created)


if __name__ == "__main__":
    main()
