"""``make bench-gateway``: how fast one gateway is, what an item costs, how late watchers learn of it.

Every cell runs on a fresh gateway and fresh transcribers over an emptied Valkey. An arq worker
takes its turn on the same Valkey in every round, so that both meet the same machine.
"""

import argparse
import asyncio
import gc
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
import uvloop
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub

from bench import load, processes
from bench.load import Audience, Load
from tests.valkey import Valkey

TRANSCRIBERS = 4
SLOTS = 16
WATCHED_RATE = 200
GOAL_WATCHERS = 200
ARQ = Path(__file__).parent / "arq" / "drain.py"
MAX_JOBS = (10, 100, 1000)


@dataclass(frozen=True)
class Plan:
    """What is run; ``arq_jobs`` for each value of MAX_JOBS."""

    rounds: int
    queued: Sequence[int]
    sizes: Sequence[int]
    watchers: Sequence[int]
    watched_items: int
    arq_jobs: int


FULL = Plan(5, (100, 1_000, 10_000), (10, 100, 500), (1, 20, 200, 2_000), 4_000, 3_000)
QUICK = Plan(1, (100, 1_000), (10, 100), (1, 200), 1_000, 1_000)


@dataclass(frozen=True)
class Figures:
    """What one run of a load measured; CPU time is that of one item."""

    items_per_second: float
    gateway_ms: float
    valkey_ms: float
    peak_mib: float
    p50_ms: float
    p99_ms: float


class Rig:
    """One gateway with its transcribers, and a stub to it."""

    def __init__(
        self,
        valkey: Valkey,
        gateway: processes.Service,
        transcribers: processes.Service,
        stub: BatchServiceStub,
    ) -> None:
        self._valkey = valkey
        self._gateway = gateway
        self._transcribers = transcribers
        self._stub = stub

    async def run(self, what: Load) -> Figures:
        """Fill the queue, open the watches, let the transcribers begin, wait for the end."""
        audience = Audience(self._stub)
        cpu = self._gateway.cpu_seconds
        valkey_cpu = _cpu_seconds(self._valkey)
        begun = time.perf_counter()
        batch_ids = await load.create(self._stub, what.urls())
        filled = time.perf_counter()
        await audience.watch(batch_ids)
        opened = time.perf_counter()
        await self._transcribers.tell(SLOTS)
        await audience.ended()
        elapsed = time.perf_counter() - opened + filled - begun
        await self._transcribers.tell(0)
        assert len(audience.latencies_ms) == what.items, "an end did not reach its watcher once"
        return Figures(
            what.items / elapsed,
            (self._gateway.cpu_seconds - cpu) * 1000 / what.items,
            (_cpu_seconds(self._valkey) - valkey_cpu) * 1000 / what.items,
            self._gateway.peak_mib,
            percentile(audience.latencies_ms, 50),
            percentile(audience.latencies_ms, 99),
        )


@asynccontextmanager
async def rig(valkey: Valkey, *script: str) -> AsyncIterator[Rig]:
    """Start gateway and transcribers on an emptied Valkey."""
    valkey.flush()
    command = ("-m", "bench.transcribers", "--count", str(TRANSCRIBERS), "--script", *script)
    async with (
        processes.started(*command) as transcribers,
        processes.gateway(valkey.url, transcribers.said, load.KEY) as gateway,
        load.open_channel(gateway.said["listening"]) as channel,
    ):
        yield Rig(valkey, gateway, transcribers, BatchServiceStub(channel))


async def at_full_speed(valkey: Valkey, what: Load) -> Figures:
    """Run a load on transcribers that answer at once."""
    async with rig(valkey, "at-once") as fresh:
        return await fresh.run(what)


async def at_a_pace(valkey: Valkey, watchers: int, items: int) -> Figures:
    """Run ``items`` items in as many batches as watchers, WATCHED_RATE of them a second."""
    async with rig(valkey, "pace", "--rate", str(WATCHED_RATE)) as fresh:
        return await fresh.run(Load(watchers, max(1, min(500, items // watchers))))


async def arq(valkey: Valkey, python: str, jobs: int, max_jobs: int) -> float:
    """Return the jobs per second of one arq worker."""
    valkey.flush()
    command = (str(ARQ), valkey.url, "--jobs", str(jobs), "--max-jobs", str(max_jobs))
    async with processes.started(*command, python=python) as worker:
        return float(worker.said)


def percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _cpu_seconds(valkey: Valkey) -> float:
    with redis.Redis.from_url(valkey.url) as client:
        info = client.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])
