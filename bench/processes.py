"""The processes of a benchmark: started, measured from outside, ended for certain.

A process says in one line of JSON that it is ready, and what it has to tell beyond that.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_NANOSECONDS = 1_000_000_000
_STOP_SECONDS = 10.0


class Service:
    """A running process and the lines it speaks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: Any = None

    async def tell(self, order: object) -> None:
        """Send one line of JSON."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()

    async def hear(self) -> Any:
        """Return the next line, read as JSON. Raises RuntimeError if the process has ended."""
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"A process of the benchmark ended: {await self._process.wait()}.")
        self.said = json.loads(line)
        return self.said

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """Time its threads have run so far."""
        threads = Path(f"/proc/{self._process.pid}/task").iterdir()
        times = (int((thread / "schedstat").read_text().split()[0]) for thread in threads)
        return sum(times) / _NANOSECONDS

    @property
    def peak_mib(self) -> float:
        """The most memory it has had in RAM."""
        return peak_mib(self._process.pid)

    async def finish(self) -> Any:
        """End its input and return its last word."""
        assert self._process.stdin
        self._process.stdin.close()
        return await self.hear()

    async def stop(self) -> None:
        """Ask it to end; kill it if it does not."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def peak_mib(pid: int) -> float:
    """Return the most memory that a process has had in RAM."""
    return _mib(pid, "VmHWM:")


def resident_mib(pid: int) -> float:
    """Return the memory that a process has in RAM."""
    return _mib(pid, "VmRSS:")


def _mib(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


@asynccontextmanager
async def started(
    *command: str, python: str = sys.executable, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Service]:
    """Run ``python`` with the arguments ``command`` while the context is open."""
    process = await asyncio.create_subprocess_exec(
        python,
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    service = Service(process)
    try:
        await service.hear()
        yield service
    finally:
        await service.stop()


@asynccontextmanager
async def gateway(
    redis_url: str, transcribers: Sequence[str], key: str, **environment: str
) -> AsyncIterator[Service]:
    """Run one gateway, as ``python -m gateway`` does; ``said["listening"]`` is its address."""
    settings = {
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_HTTP_LISTEN": "",
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_API_KEY": key,
        "GATEWAY_TRANSCRIBERS": ",".join(transcribers),
        "GATEWAY_DEFAULT_MODEL": "tiny.en",
        "GATEWAY_MODELS": "tiny.en",
        "GATEWAY_TIERS": '{"unlimited": {"videos_per_batch": 500}}',
        # All watchers of a benchmark come over one connection.
        "GATEWAY_MAX_STREAMS_PER_CONNECTION": "10000",
        "GATEWAY_LOG_LEVEL": "ERROR",
    }
    async with started("-m", "gateway", environment=settings | environment) as service:
        yield service
