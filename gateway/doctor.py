"""``python -m gateway doctor``: whether what a gateway needs is there and as it should be.

It looks with the settings of a gateway and by the gateway's own rules; Redis is left as a gateway
leaves it at its start.
"""

import asyncio
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path

import grpc
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    WatchStatusRequest,
    WatchStatusResponse,
)
from cryptography import x509
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from gateway.link import Link
from gateway.pool import addresses_behind
from gateway.settings import Settings
from gateway.store import SchemaTooNew, check_schema, connect, durability_gaps, mean_write_ms
from servicekit.findings import Finding
from servicekit.tls import PemFiles, UnusableCertificate

_ANSWER_SECONDS = 5.0
_SLOW_WRITE_MS = 20.0
_MUCH_MEMORY = 0.6
_CLOCK_SECONDS = 1.0
_CERTIFICATE_DAYS = 14


async def examine(settings: Settings) -> list[Finding]:
    """Look at Redis, the transcribers and the certificates; takes seconds, never raises."""
    looks = (
        _redis(settings),
        *(_transcribers(name, settings.transcriber_tls) for name in settings.transcribers),
    )
    found = [finding for group in await asyncio.gather(*looks) for finding in group]
    files = (settings.tls_cert_file, settings.transcriber_cert_file)
    return [*found, *(_certificate_file(file) for file in files if file)]


async def _redis(settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    try:
        async with connect(settings.redis_url.get_secret_value(), settings.redis_ca_file) as redis:
            for check in (_version, _memory, _clock, _durability, _schema, _disk):
                found += [await check(redis)]
    except RedisError as error:
        text = f"does not work: {error} Is GATEWAY_REDIS_URL right, and the server up?"
        found.append(Finding("redis", "fail", text))
    return found


async def _version(redis: Redis) -> Finding:
    info = await redis.info("server")
    name = info.get("server_name", "redis")
    return Finding("redis", "ok", f"{name} {info.get(f'{name}_version', '')} answers")


async def _schema(redis: Redis) -> Finding:
    try:
        await check_schema(redis)
    except SchemaTooNew as error:
        return Finding("redis schema", "fail", str(error))
    return Finding("redis schema", "ok", "its data is of a version that this gateway knows")


async def _durability(redis: Redis) -> Finding:
    try:
        gaps = await durability_gaps(redis)
    except ResponseError as error:
        text = f"cannot be checked ({error}); appendfsync always loses nothing"
        return Finding("redis durability", "warn", text)
    if gaps:
        return Finding("redis durability", "fail", " ".join(gaps))
    return Finding("redis durability", "ok", "what was accepted survives a crash")


async def _disk(redis: Redis) -> Finding:
    mean_ms = await mean_write_ms(redis)
    if mean_ms > _SLOW_WRITE_MS:
        text = f"{mean_ms:.0f} ms for a write, and every call waits for one: use a faster disk"
        return Finding("redis disk", "warn", text)
    return Finding("redis disk", "ok", f"{mean_ms:.1f} ms for a write")


async def _memory(redis: Redis) -> Finding:
    info = await redis.info("memory")
    limit, what = info["maxmemory"], "maxmemory"
    if not limit:
        limit, what = info["total_system_memory"] // 2, "half of the machine, with no maxmemory set"
    share = info["used_memory"] / limit
    if share > _MUCH_MEMORY:
        text = f"{share:.0%} of {what}: raise it, or keep batches for less long"
        return Finding("redis memory", "warn", f"{text} (GATEWAY_RETENTION_DAYS)")
    return Finding("redis memory", "ok", f"{share:.0%} of {what}")


async def _clock(redis: Redis) -> Finding:
    seconds, microseconds = await redis.time()
    ahead = time.time() - seconds - microseconds / 1e6
    if abs(ahead) > _CLOCK_SECONDS:
        text = f"{ahead:+.0f} s from that of Redis, which decides: let NTP set both"
        return Finding("clock", "warn", text)
    return Finding("clock", "ok", "agrees with that of Redis")


async def _transcribers(name: str, files: PemFiles | None) -> list[Finding]:
    """Look at every transcriber behind ``name``, which is host:port."""
    try:
        addresses = await addresses_behind(name)
    except (OSError, UnicodeError) as error:
        text = f"cannot be resolved ({error}): is GATEWAY_TRANSCRIBERS right?"
        return [Finding(f"transcriber {name}", "fail", text)]
    host = name.rpartition(":")[0].strip("[]")
    looks = [_transcriber(address, host, files) for address in sorted(addresses)]
    if files:
        looks += [_shown_certificate(address) for address in sorted(addresses)]
    return await asyncio.gather(*looks)


async def _transcriber(address: str, host: str, files: PemFiles | None) -> Finding:
    subject = f"transcriber {address}"
    try:
        status = await _status(Link(address, host, files))
    except UnusableCertificate as error:
        return Finding(subject, "fail", str(error))
    except (grpc.aio.AioRpcError, TimeoutError) as error:
        reason = error.details() if isinstance(error, grpc.aio.AioRpcError) else "silence"
        text = f"does not answer ({reason}): is it up, within reach, and trusted?"
        return Finding(subject, "fail", text)
    if status.draining:
        return Finding(subject, "warn", "takes no more videos, since it is about to stop")
    if not status.slots:
        return Finding(subject, "fail", "cannot work: its log and its doctor say why")
    return Finding(subject, "ok", _described(status))


async def _status(link: Link) -> WatchStatusResponse:
    """Raises AioRpcError, TimeoutError."""
    stream = link.stub.WatchStatus(WatchStatusRequest())
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            async for status in stream:
                return status
        raise TimeoutError
    finally:
        await link.close()


def _described(status: WatchStatusResponse) -> str:
    models = (f"{model.name}{' (loaded)' if model.loaded else ''}" for model in status.models)
    return (
        f"{status.worker}, {status.slots} slots; models: {', '.join(models)}; "
        f"yt-dlp {status.versions.get('yt-dlp', 'unknown')}"
    )


async def _shown_certificate(address: str) -> Finding:
    host, _, port = address.rpartition(":")
    place = (host.strip("[]"), int(port))
    try:
        pem = await asyncio.to_thread(ssl.get_server_certificate, place, timeout=_ANSWER_SECONDS)
    except OSError as error:
        return Finding(f"certificate of {address}", "fail", f"cannot be seen: {error}")
    return _certificate(f"certificate of {address}", pem.encode())


def _certificate_file(path: Path) -> Finding:
    try:
        return _certificate(f"certificate {path}", path.read_bytes())
    except (OSError, ValueError) as error:
        return Finding(f"certificate {path}", "fail", f"cannot be read: {error}")


def _certificate(subject: str, pem: bytes) -> Finding:
    """Raises ValueError if it is none."""
    left = x509.load_pem_x509_certificate(pem).not_valid_after_utc - datetime.now(UTC)
    if left.days < 0:
        return Finding(subject, "fail", "has expired: replace the file")
    if left.days < _CERTIFICATE_DAYS:
        return Finding(subject, "warn", f"is valid for {left.days} more days: replace the file")
    return Finding(subject, "ok", f"is valid for {left.days} more days")
