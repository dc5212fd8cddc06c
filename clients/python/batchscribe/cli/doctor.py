"""``batchscribe doctor``: what is installed, what answers, and what a crash would cost."""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

import redis.asyncio
from batchscribe.cli import session
from batchscribe.cli.delivery import print_json
from batchscribe.cli.wording import printable
from batchscribe.client import Client, discovery
from batchscribe.client.errors import BatchscribeError
from batchscribe.local import valkey
from batchscribe.local.child import Child, StackError
from batchscribe.local.plan import free_ports
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PACKAGES = ("batchscribe", "grpcio", "redis", "faster-whisper", "ctranslate2", "av", "yt-dlp")
_DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
_PROBE_SECONDS = 30.0
_WRITES = 50
_STYLES = {"ok": "green", "note": "yellow", "problem": "red"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at; only a problem makes the command fail."""

    subject: str
    verdict: Literal["ok", "note", "problem"]
    text: str


async def examine(
    target: session.Target, redis_url: str, probe_url: str, console: Console, json_lines: bool
) -> bool:
    """Look at everything and print it; True if nothing is a problem."""
    found = discovery.find(target.server, target.api_key)
    redis_url = redis_url or (found.redis_url if found else "")
    findings = [
        _versions(),
        *await asyncio.gather(_server(found), _redis(redis_url), _sources(probe_url)),
    ]
    if json_lines:
        for finding in findings:
            print_json(asdict(finding))
    else:
        console.print(_table(findings))
    return all(finding.verdict != "problem" for finding in findings)


def _table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        verdict = Text(finding.verdict, style=_STYLES[finding.verdict])
        table.add_row(verdict, finding.subject, Text(printable(finding.text)))
    return table


def _versions() -> Finding:
    versions = {"python": sys.version.split()[0]}
    missing = []
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    if missing:
        return Finding("versions", "note", f"{text}; not installed: {', '.join(missing)}")
    return Finding("versions", "ok", text)


async def _server(found: discovery.Server | None) -> Finding:
    if found is None:
        return Finding("server", "note", discovery.NO_SERVER)
    try:
        async with Client(
            found.address, found.api_key, ca_file=found.ca_file, retry_seconds=2.0
        ) as client:
            models = await client.models()
    except BatchscribeError as error:
        return Finding("server", "problem", f"{found.address}: {error}")
    names = ", ".join(f"{m.name}{' (loaded)' if m.loaded else ''}" for m in models) or "none"
    return Finding("server", "ok", f"{found.address} answers; models: {names}")


async def _redis(url: str) -> Finding:
    try:
        async with _some_redis(url) as (where, client):
            settings = {name: (await client.config_get(name)).get(name, "?") for name in _DURABLE}
            milliseconds = await _write_milliseconds(client)
    except (RedisError, StackError) as error:
        return Finding("redis", "problem", str(error))
    text = f"{where}, {milliseconds:.1f} ms for a write"
    weak = {name: str(value) for name, value in settings.items() if value != _DURABLE[name]}
    if weak:
        return Finding("redis", "problem", f"{text}; a crash loses work: {_advice(weak)}")
    return Finding("redis", "ok", f"{text}; what was accepted survives a crash")


def _advice(weak: Mapping[str, str]) -> str:
    return ", ".join(f"{name} is {value}, set {_DURABLE[name]}" for name, value in weak.items())


@asynccontextmanager
async def _some_redis(url: str) -> AsyncGenerator[tuple[str, redis.asyncio.Redis], None]:
    """The Redis in use, else the one that a stack would start, in a directory of its own."""
    if url:
        async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
            yield "in use", client
        return
    with (
        tempfile.TemporaryDirectory(prefix="batchscribe-") as folder,
        (Path(folder) / "lock").open("w") as lock,
    ):
        (port,) = free_ports(1)
        program, url = valkey.program(
            Path(folder) / "redis", Path(folder) / "redis.log", port, lock.fileno()
        )
        child = Child(program, partial(print, file=sys.stderr))
        try:
            await child.start()
            async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
                yield f"embedded ({valkey.find_server()})", client
        finally:
            await child.stop()


async def _write_milliseconds(client: redis.asyncio.Redis) -> float:
    """Return the mean time of a write, with the fsync that the settings ask for."""
    key = "batchscribe:doctor"
    start = time.perf_counter()
    for number in range(_WRITES):
        await client.set(key, number, ex=60)
    elapsed = time.perf_counter() - start
    await client.delete(key)
    return elapsed / _WRITES * 1000


async def _sources(url: str) -> Finding:
    options = ("--ignore-config", "--no-playlist", "--simulate", "--quiet", "--no-warnings")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "yt_dlp", *options, "--print", "title", url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return Finding("yt-dlp", "note", f"no answer from {url} in {_PROBE_SECONDS:.0f} s")
    if process.returncode == 0:
        return Finding("yt-dlp", "ok", f"can read {url}: {output.decode(errors='replace')}")
    reason = errors.decode(errors="replace").strip().rpartition("\n")[2].partition(" (caused by")[0]
    return Finding("yt-dlp", "note", f"cannot read {url}: {reason}")
