"""``make bench-scale``: how busy one gateway keeps 1 to 64 transcribers that work like GPUs.

A transcriber here has one slot and sleeps as long as a video says. Sleeps are cut short by SPEEDUP
against those of real work, which makes every delay of ours weigh so much more.
"""

import argparse
import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
import uvloop
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub

from bench import load, processes
from bench.load import Audience
from tests.valkey import Valkey

SPEEDUP = 5
MEDIAN_SECONDS, SIGMA = 3.0, 0.8
SHORTEST_SECONDS, LONGEST_SECONDS = 0.5, 20.0
SEED = 7
MAX_PROCESSES = 4
MIN_BATCHES = 20
ITEMS_PER_TRANSCRIBER = 48
FULL, QUICK = (1, 4, 16, 64), (16,)

Span = tuple[float, float]


@dataclass(frozen=True)
class Figures:
    """``busy``: share of the pool's time at work until the last item began.

    ``over_bound``: the time from the first CreateBatch to the last end, over the least possible.
    """

    transcribers: int
    items: int
    busy: float
    over_bound: float


def draw_seconds(count: int) -> list[float]:
    """Return how long each video keeps a transcriber, the same at every run."""
    dice = random.Random(SEED)
    drawn = (dice.lognormvariate(math.log(MEDIAN_SECONDS), SIGMA) for _ in range(count))
    return [min(max(s, SHORTEST_SECONDS), LONGEST_SECONDS) / SPEEDUP for s in drawn]


def split(seconds: Sequence[float], transcribers: int) -> list[list[str]]:
    """Deal the videos out to batches that together can fill the pool, as addresses."""
    batches = max(MIN_BATCHES, 2 * transcribers)
    urls = [f"http://bench.test/{s:.3f}/{n}" for n, s in enumerate(seconds)]
    return [urls[start::batches] for start in range(batches) if urls[start::batches]]


async def measure(valkey: Valkey, transcribers: int) -> Figures:
    """Run one load on a pool of so many transcribers."""
    valkey.flush()
    seconds = draw_seconds(transcribers * ITEMS_PER_TRANSCRIBER)
    async with pool(transcribers) as hosts:
        addresses = [address for host in hosts for address in host.said]
        async with processes.gateway(valkey.url, addresses, load.KEY) as gateway:
            await asyncio.gather(*(host.tell(1) for host in hosts))
            begun = time.time()
            await work_off(gateway.said["listening"], split(seconds, transcribers))
        spans = [span for host in hosts for span in await host.finish()]
    return judge(seconds, transcribers, begun, spans)


@asynccontextmanager
async def pool(transcribers: int) -> AsyncIterator[list[processes.Service]]:
    """Start the transcribers in a few processes."""
    count = min(MAX_PROCESSES, transcribers)
    shares = [len(range(start, transcribers, count)) for start in range(count)]
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                processes.started(
                    "-m", "bench.transcribers", "--script", "sleep", "--count", str(share)
                )
            )
            for share in shares
        ]


async def work_off(address: str, batches: Sequence[Sequence[str]]) -> None:
    """Create the batches and watch them all to their end."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = BatchServiceStub(channel)
        async with asyncio.TaskGroup() as watches:
            audience = Audience(stub, watches)
            await audience.watch(await load.create(stub, batches))
    assert audience.ends == sum(map(len, batches)), "an end did not reach its watcher exactly once"


def judge(
    seconds: Sequence[float], transcribers: int, begun: float, spans: Sequence[Span]
) -> Figures:
    """Compare when the pool worked with the best it could have done."""
    last_start = max(start for start, _ in spans)
    last_end = max(end for _, end in spans)
    worked = sum(min(end, last_start) - start for start, end in spans)
    bound = max(sum(seconds) / transcribers, max(seconds))
    return Figures(
        transcribers,
        len(spans),
        busy=worked / (transcribers * (last_start - begun)),
        over_bound=(last_end - begun) / bound,
    )


async def run(sizes: Sequence[int]) -> list[Figures]:
    valkey = Valkey()
    try:
        valkey.start()
        return [await measure(valkey, size) for size in sizes]
    finally:
        valkey.close()


def report(results: Sequence[Figures]) -> None:
    print(f"Sleeps of {MEDIAN_SECONDS} s (median), {SPEEDUP} times as fast as real work.")
    print(f"{'transcribers':>12}{'items':>8}{'busy':>8}{'makespan/bound':>16}")
    for one in results:
        print(f"{one.transcribers:>12}{one.items:>8}{one.busy:>8.3f}{one.over_bound:>16.3f}")
    busy = min(one.busy for one in results)
    over_bound = max(one.over_bound for one in results)
    print(f"bench-scale: busy={busy:.3f} makespan_over_bound={over_bound:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one pool size")
    chosen = parser.parse_args()
    report(uvloop.run(run(QUICK if chosen.quick else FULL)))


if __name__ == "__main__":
    main()
