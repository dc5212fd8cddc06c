"""Connections to Redis, with every default that redis-py 8 changed set by hand."""

import time
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.store.keys import key

SCHEMA = 1
CONNECTIONS = 32
CONNECT_SECONDS = 2.0
REPLY_SECONDS = 5.0
# A blocking read may rest this long in the server, so its socket must wait longer.
BLOCK_MS = 1_000
_PROBES = 50


def connect(url: str, ca_file: Path | None = None) -> Redis:
    """Return a client for ``redis://``, ``rediss://`` or ``unix://``; it connects when first used.

    ``ca_file`` names those who may vouch for a ``rediss://`` server, instead of the system's.

    Nothing is retried here: redis-py would replay a script whose reply was lost, ten times by
    default. Who calls knows what may be replayed.
    """
    # Read anew with every connection.
    tls = {"ssl_ca_certs": str(ca_file)} if ca_file and url.startswith("rediss:") else {}
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=REPLY_SECONDS,
        socket_timeout=REPLY_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        # Pinging an idle connection before use also finds one that a firewall dropped.
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
        protocol=3,
        decode_responses=False,
        **tls,
    )
    return Redis.from_pool(pool)


class SchemaTooNew(Exception):
    """A newer gateway has written data that this one would misread."""


async def check_schema(redis: Redis) -> None:
    """Mark empty data with our version; raise SchemaTooNew for that of a newer major one.

    Within a major version fields are only added, so that two versions of the gateway can share data
    while one replaces the other.
    """
    await redis.set(key("schema"), SCHEMA, nx=True)
    found = int(await redis.get(key("schema")) or SCHEMA)
    if found > SCHEMA:
        raise SchemaTooNew(
            f"The data in Redis has version {found}, and this gateway knows {SCHEMA}. "
            "Run the version that wrote it, or restore a backup from before that."
        )


async def durability_gaps(redis: Redis) -> list[str]:
    """Say in sentences what this Redis would lose that Batchscribe promises to keep."""
    found: Any = await redis.config_get(
        "appendonly", "appendfsync", "maxmemory-policy", "maxmemory"
    )
    config = {_text(name): _text(value) for name, value in found.items()}
    gaps = []
    if config.get("appendonly") != "yes":
        gaps.append("appendonly is off: a restart of Redis loses every batch since the last dump.")
    elif config.get("appendfsync") != "always":
        gaps.append(
            f"appendfsync is {config.get('appendfsync')}: a power cut loses about the last second "
            "of acknowledged batches and results."
        )
    if config.get("maxmemory") != "0" and config.get("maxmemory-policy") != "noeviction":
        gaps.append(
            f"maxmemory-policy is {config.get('maxmemory-policy')}: "
            "when memory is full Redis deletes batches."
        )
    return gaps


async def mean_write_ms(redis: Redis) -> float:
    """Return the mean time of a few writes one by one, each with the fsync that is asked for."""
    name, start = key("doctor"), time.perf_counter()
    for number in range(_PROBES):
        await redis.set(name, number, ex=60)
    elapsed = time.perf_counter() - start
    await redis.delete(name)
    return elapsed / _PROBES * 1000


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
