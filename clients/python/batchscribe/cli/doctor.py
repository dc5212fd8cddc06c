"""``batchscribe doctor``: what is installed, what answers, and what each service finds for itself.

A service knows best what it needs: its own doctor is run as a process, with the settings around.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

from batchscribe.cli import session
from batchscribe.cli.delivery import print_json
from batchscribe.cli.wording import printable
from batchscribe.client import Client, discovery
from batchscribe.client.errors import BatchscribeError
from batchscribe.local import valkey
from batchscribe.local.child import Child, StackError
from batchscribe.local.plan import free_ports
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PACKAGES = ("batchscribe", "grpcio", "redis", "faster-whisper", "ctranslate2", "av", "yt-dlp")
# What a service cannot do without, though its code may be there.
_NEEDED = {"gateway": "redis", "transcriber": "faster-whisper"}
_PROBE_SECONDS = 30.0
_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at, as a doctor of a service prints it; ``fail`` makes the command fail."""

    subject: str
    verdict: Literal["ok", "warn", "fail"]
    text: str


async def examine(
    target: session.Target, redis_url: str, probe_url: str, console: Console, json_lines: bool
) -> bool:
    """Look at everything and print it; True if nothing has failed."""
    found = discovery.find(target.server, target.api_key)
    redis_url = redis_url or (found.redis_url if found else "")
    groups = await asyncio.gather(
        _server(found), _gateway(redis_url), _transcriber(), _site(probe_url)
    )
    findings = [_versions(), *(finding for group in groups for finding in group)]
    if json_lines:
        for finding in findings:
            print_json(asdict(finding))
    else:
        console.print(_table(findings))
    return all(finding.verdict != "fail" for finding in findings)


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
        text += f"; not installed: {', '.join(missing)}"
    return Finding("versions", "ok", text)


async def _server(found: discovery.Server | None) -> list[Finding]:
    if found is None:
        return [Finding("server", "warn", discovery.NO_SERVER)]
    try:
        async with Client(
            found.address, found.api_key, ca_file=found.ca_file, retry_seconds=2.0
        ) as client:
            models = await client.models()
    except BatchscribeError as error:
        return [Finding("server", "fail", f"{found.address}: {error}")]
    names = ", ".join(f"{m.name}{' (loaded)' if m.loaded else ''}" for m in models)
    if not any(model.loaded for model in models):
        text = f"{found.address} answers, but no transcriber is ready; models: {names or 'none'}"
        return [Finding("server", "warn", text)]
    return [Finding("server", "ok", f"{found.address} takes the key; models: {names}")]


async def _gateway(redis_url: str) -> list[Finding]:
    """Let a gateway look at the Redis in use, else at the one that a stack would start."""
    # Those of `batchscribe up` are behind the server; others are named where gateways are run.
    environment = {"GATEWAY_TRANSCRIBERS": os.environ.get("GATEWAY_TRANSCRIBERS", "")}
    url = redis_url or os.environ.get("GATEWAY_REDIS_URL", "")
    try:
        async with _some_redis(url) as url:
            return await _own_findings("gateway", environment | {"GATEWAY_REDIS_URL": url})
    except StackError as error:
        return [Finding("redis", "fail", str(error))]


async def _transcriber() -> list[Finding]:
    """Let a transcriber look at this machine, with the folders of a stack if none are named."""
    folder = discovery.default_data_dir()
    folders = {
        "TRANSCRIBER_MODEL_DIR": str(folder / "models"),
        "TRANSCRIBER_WORK_DIR": str(folder / "work"),
    }
    return await _own_findings("transcriber", folders | os.environ)


async def _own_findings(service: str, environment: Mapping[str, str]) -> list[Finding]:
    try:
        metadata.version(_NEEDED[service])
    except metadata.PackageNotFoundError:
        text = f"not installed here: run `python -m {service} doctor` where it is"
        return [Finding(service, "warn", text)]
    # -P: a folder named like a service in the user's current directory is not ours.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", service, "doctor", "--json"),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if not output:
        return [Finding(service, "fail", _last_line(errors))]
    return [Finding(**json.loads(line)) for line in output.splitlines()]


@asynccontextmanager
async def _some_redis(url: str) -> AsyncGenerator[str, None]:
    """The address of the Redis in use, else of one in a directory of its own."""
    if url:
        yield url
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
            yield url
        finally:
            await child.stop()


async def _site(url: str) -> list[Finding]:
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
        return [Finding("site", "warn", f"no answer from {url} in {_PROBE_SECONDS:.0f} s")]
    if process.returncode == 0:
        return [Finding("site", "ok", f"yt-dlp reads {url}: {output.decode(errors='replace')}")]
    reason = _last_line(errors).partition(" (caused by")[0]
    return [Finding("site", "warn", f"yt-dlp cannot read {url}: {reason}")]


def _last_line(errors: bytes) -> str:
    """Return what matters of what a program said before it gave up."""
    return errors.decode(errors="replace").strip().rpartition("\n")[2]
