"""One gateway, its transcribers and a load, each apart from the others, and what a load costs.

Every measurement starts on a fresh gateway over an emptied Valkey. An arq worker can be run on the
same Valkey.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import redis
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub

from bench import load, processes
from bench.load import Audience, Load
from tests.valkey import Valkey

TRANSCRIBERS = 4
SLOTS = 16
WARM_UP = Load(10, 20)
_ARQ = Path(__file__).parent / "arq" / "drain.py"


@dataclass(frozen=True)
class Figures:
    """What one run of a load measured; the CPU times are those of one item."""

    items_per_second: float
    gateway_ms: float
    valkey_ms: float
    peak_mib: float
    p50_ms: float
    p99_ms: float


class Rig:
    """A running gateway with its transcribers."""

    def __init__(
        self, valkey: Valkey, gateway: processes.Service, transcribers: processes.Service
    ) -> None:
        self._valkey = valkey
        self._gateway = gateway
        self._transcribers = transcribers

    async def run(self, what: Load) -> Figures:
        """Fill the queue, open the watches, let the transcribers begin, wait for the end.

        The time is that of filling and of working; opening the watches is not counted.
        """
        async with grpc.aio.insecure_channel(self._gateway.said["listening"]) as channel:
            stub = BatchServiceStub(channel)
            before = self._gateway.cpu_seconds, _cpu_seconds(self._valkey)
            begun = time.perf_counter()
            batch_ids = await load.create(stub, what.urls())
            filling = time.perf_counter() - begun
            async with asyncio.TaskGroup() as watches:
                audience = Audience(stub, watches)
                await audience.watch(batch_ids)
                opened = time.perf_counter()
                await self._transcribers.tell(SLOTS)
            elapsed = filling + time.perf_counter() - opened
            await self._transcribers.tell(0)
        late = audience.latencies_ms
        assert audience.ends == what.items, "an end did not reach its watcher exactly once"
        return Figures(
            items_per_second=what.items / elapsed,
            gateway_ms=(self._gateway.cpu_seconds - before[0]) * 1000 / what.items,
            valkey_ms=(_cpu_seconds(self._valkey) - before[1]) * 1000 / what.items,
            peak_mib=self._gateway.peak_mib,
            p50_ms=percentile(late, 50),
            p99_ms=percentile(late, 99),
        )


@asynccontextmanager
async def rig(valkey: Valkey, *script: str, **environment: str) -> AsyncIterator[Rig]:
    """Start gateway and transcribers on an emptied Valkey; ``script`` as in bench.transcribers.

    ``environment`` is for the gateway.
    """
    valkey.flush()
    command = ("-m", "bench.transcribers", "--count", str(TRANSCRIBERS), "--script", *script)
    async with (
        processes.started(*command) as transcribers,
        processes.gateway(valkey.url, transcribers.said, load.KEY, **environment) as gateway,
    ):
        yield Rig(valkey, gateway, transcribers)


async def at_full_speed(valkey: Valkey, what: Load, **environment: str) -> Figures:
    """Run a load on transcribers that answer at once; ``environment`` is for the gateway."""
    async with rig(valkey, "at-once", **environment) as fresh:
        await fresh.run(WARM_UP)
        return await fresh.run(what)


async def at_a_pace(valkey: Valkey, what: Load, items_per_second: int) -> Figures:
    """Run a load on transcribers that together end so many items a second."""
    async with rig(valkey, "pace", "--rate", str(items_per_second)) as fresh:
        return await fresh.run(what)


async def arq(valkey: Valkey, python: str, jobs: int, max_jobs: int) -> float:
    """Return the jobs per second of one arq worker; ``python`` is that of arq's own venv."""
    valkey.flush()
    command = (str(_ARQ), valkey.url, "--jobs", str(jobs), "--max-jobs", str(max_jobs))
    async with processes.started(*command, python=python) as worker:
        return float(worker.said)


def percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _cpu_seconds(valkey: Valkey) -> float:
    with redis.Redis.from_url(valkey.url) as client:
        info = client.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])
