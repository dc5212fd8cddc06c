"""The deployment under test: gateways, transcribers and a Redis, each a real process.

Every process comes back at its old address, and none outlives the one that started it.
"""

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

from batchscribe.local import tether
from batchscribe.local.valkey import answers, find_server

from tests.chaos.journal import Entry, Journal
from tests.chaos.versions import ROOT, python_path
from tests.faketime import off_by
from tests.running_gateway import KEY
from tests.support import free_port, wait_until

START_SECONDS = 30.0
DRAIN_SECONDS = 15.0
SLOTS = 16
# Of gateways, and of transcribers.
COUNT = 3


class Service(ABC):
    """One program; ``is_up`` is false from the moment it is struck until it serves again.

    It runs the version of the product that lies in ``source`` when it is started.
    """

    def __init__(
        self, name: str, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.is_up = False
        self.source = ROOT
        self._folder = folder
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process, f"{self.name} was never started"
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.returncode is not None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return what to run; asked before every start."""

    async def until_ready(self, process: asyncio.subprocess.Process) -> None:
        """Return when the process serves: it says so with its first line."""
        assert process.stdout
        assert await process.stdout.readline(), f"{self.name} ended: see {self._log}"

    async def start(self) -> None:
        tied = (sys.executable, "-I", "-S", str(tether.__file__), str(os.getpid()))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *tied, *self.command(), cwd=self.source,
                env={**self._environment, "PYTHONPATH": python_path(self.source)},
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(START_SECONDS):
            await self.until_ready(self._process)
        self.is_up = True

    async def kill(self) -> None:
        """End it without a word; it may be frozen."""
        self.is_up = False
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def terminate(self) -> None:
        """Ask it to drain and wait for its end."""
        self.is_up = False
        assert self._process
        self._process.terminate()
        async with asyncio.timeout(DRAIN_SECONDS):
            await self._process.wait()

    def freeze(self) -> None:
        self.is_up = False
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self.is_up = True

    def bugs(self) -> list[str]:
        """Return what it logged as errors: faults that are meant to be survived are warnings."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [f"{self.name}: {line}" for line in lines if '"level": "error"' in line]

    @property
    def _log(self) -> Path:
        return self._folder / f"{self.name}.log"


class GatewayService(Service):
    """``module`` is what ``python -m`` runs, with its arguments."""

    def __init__(
        self, name: str, folder: Path, module: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        super().__init__(name, folder, {**environment, "GATEWAY_LISTEN": self.address})
        self._module = module

    def command(self) -> Sequence[str]:
        return (sys.executable, "-m", *self._module)


class TranscriberService(Service):
    """A scripted transcriber; each of its lives has a journal of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder)
        self.address = f"127.0.0.1:{free_port()}"
        self.journals: list[Journal] = []

    def command(self) -> Sequence[str]:
        path = self._folder / f"{self.name}.{len(self.journals)}.journal"
        self.journals.append(Journal(path))
        return (
            sys.executable, "-m", "tests.chaos.transcriber", "--listen", self.address,
            "--worker", self.name, "--slots", str(SLOTS), "--journal", str(path),
        )  # fmt: skip

    @property
    def life(self) -> Journal:
        """The journal of its present life, read up to now."""
        return self.journals[-1].read()

    def entries(self) -> list[Entry]:
        return [entry for journal in self.journals for entry in journal.read().entries]


class RedisService(Service):
    """A Valkey that fsyncs before it answers, on a Unix socket."""

    def __init__(self, folder: Path) -> None:
        super().__init__("redis", folder)
        self._data = folder / "redis"
        self._data.mkdir()
        self.url = f"unix://{self._data / 'socket'}"

    def command(self) -> Sequence[str]:
        return (
            find_server(), "--dir", str(self._data), "--unixsocket", str(self._data / "socket"),
            "--port", "0", "--logfile", str(self._data / "log"), "--save", "",
            "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction",
        )  # fmt: skip

    async def until_ready(self, process: asyncio.subprocess.Process) -> None:
        await wait_until(lambda: answers(self.url), START_SECONDS)

    async def cut_power(self) -> None:
        """Kill it as it writes: its log ends in the middle of a transaction nobody was told of."""
        await self.kill()
        newest = max(
            self._data.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime
        )
        with newest.open("ab") as log:
            log.write(b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$100\r\nhalf a val")


@dataclass(frozen=True)
class Deployment:
    """All processes, and where what they write lies."""

    redis: RedisService
    gateways: Sequence[GatewayService]
    transcribers: Sequence[TranscriberService]

    @property
    def services(self) -> Sequence[Service]:
        return (self.redis, *self.gateways, *self.transcribers)

    def entries(self) -> list[Entry]:
        """Return what all transcribers wrote so far, in the order of time."""
        found = [entry for transcriber in self.transcribers for entry in transcriber.entries()]
        return sorted(found, key=lambda entry: entry.at)


@asynccontextmanager
async def deployed(
    folder: Path, module: Sequence[str], source: Path, clocks: Sequence[int]
) -> AsyncIterator[Deployment]:
    """Run a deployment while the context is open, and kill what is left of it then.

    Gateways are what ``python -m`` makes of ``module``; ``source`` is the version to begin with.
    By each of ``clocks`` seconds one gateway's clock is wrong.
    """
    redis = RedisService(folder)
    workers = [TranscriberService(f"transcriber-{n}", folder) for n in range(COUNT)]
    environment = gateway_environment(redis.url, [worker.address for worker in workers])
    fronts = [
        GatewayService(f"gateway-{n}", folder, module, environment | (off_by(off) if off else {}))
        for n, off in zip(range(COUNT), chain(clocks, repeat(0)), strict=False)
    ]
    deployment = Deployment(redis, fronts, workers)
    try:
        for service in (*fronts, *workers):
            service.source = source
        await redis.start()
        await asyncio.gather(*(service.start() for service in (*fronts, *workers)))
        yield deployment
    finally:
        await asyncio.gather(*(service.kill() for service in deployment.services))


def gateway_environment(redis_url: str, transcribers: Sequence[str]) -> dict[str, str]:
    return {
        "GATEWAY_HTTP_LISTEN": "",
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_API_KEY": KEY,
        "GATEWAY_TRANSCRIBERS": ",".join(transcribers),
        "GATEWAY_DEFAULT_MODEL": "tiny.en",
        "GATEWAY_MODELS": "tiny.en",
        "GATEWAY_MAX_VIDEOS_PER_BATCH": "500",  # Heeded by versions that knew no tiers.
        "GATEWAY_TIERS": '{"unlimited": {"videos_per_batch": 500}}',
        "GATEWAY_RETRY_BASE_SECONDS": "0.2",
        "GATEWAY_DRAIN_GRACE_SECONDS": "1",
        "GATEWAY_WEBHOOK_ALLOW_HTTP": "true",
        "GATEWAY_EGRESS_ALLOW": "127.0.0.1:*",
        "GATEWAY_WEBHOOK_TIMEOUT_SECONDS": "2",
        "GATEWAY_WEBHOOK_RETRY_SECONDS": ",".join(["0.5"] * 30),
        "GATEWAY_REFLECTION": "0",
        "GATEWAY_LOG_LEVEL": "WARNING",
    }
