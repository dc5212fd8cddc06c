"""``make bench-access``: what it costs to know who calls, and what they may.

The interceptor that checks keys is called as gRPC calls it, with a key that it knows and with one
that it has to ask Redis for.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import grpc
from batchscribe.v1 import batch_service_pb2

from bench.access_create import creates
from gateway import access
from gateway.api_key import ApiKey
from gateway.interceptors import Authenticate
from gateway.open_streams import OpenStreams
from gateway.oversight import Oversight
from gateway.store import Accounts, NewKey, connect
from tests.valkey import Valkey

WARM_CALLS, COLD_CALLS = 20_000, 1_000
GOAL_MS, GOAL_RATIO = 0.2, 1.2
SERVICE = batch_service_pb2.DESCRIPTOR.services_by_name["BatchService"].full_name


@dataclass(frozen=True)
class Details(grpc.HandlerCallDetails):
    """A call as gRPC describes it to interceptors."""

    method: str
    invocation_metadata: tuple[tuple[str, str], ...]


async def times_ms(call: Callable[[], Awaitable[Any]], count: int) -> list[float]:
    """Return how long each of ``count`` calls took, one after the other."""
    took = []
    for _ in range(count):
        begun = time.perf_counter()
        await call()
        took.append((time.perf_counter() - begun) * 1000)
    return took


async def authentication(url: str) -> tuple[list[float], list[float]]:
    """Return the milliseconds of calls with a key that is known, and with one that is asked for."""
    key = ApiKey.new()
    details = Details(
        f"/{SERVICE}/CreateBatch",
        (("user-agent", "bench"), ("authorization", f"Bearer {key.text}")),
    )

    async def find(_: object) -> None:
        return None  # What comes behind the interceptor is not measured.

    async with connect(url) as redis:
        accounts = Accounts(redis)
        await accounts.enrol("bench", NewKey(key.key_id, key.digest), "ann", default_tier="x")

        def interceptor() -> Authenticate:
            ring = access.KeyRing(accounts)
            return Authenticate(ring, OpenStreams(ring), Oversight(accounts), frozenset({SERVICE}))

        def asked() -> Awaitable[Any]:
            return interceptor().intercept_service(find, details)

        warm = interceptor()
        await warm.intercept_service(find, details)
        known = await times_ms(
            lambda: warm.intercept_service(find, details),
            WARM_CALLS,
        )
        return known, await times_ms(asked, COLD_CALLS)


def shown(name: str, took_ms: list[float]) -> str:
    return f"{name}_ms={median(took_ms):.4f} {name}_p99_ms={quantiles(took_ms, n=100)[98]:.4f}"


def main() -> None:
    server = Valkey()
    server.start()
    try:
        known, asked = asyncio.run(authentication(server.url))
        bare, checked = asyncio.run(creates(server.url))
    finally:
        server.close()
    verdict = "met" if median(known) < GOAL_MS else "missed"
    print(
        f"access: {shown('known', known)} {shown('asked', asked)} goal_ms={GOAL_MS} goal={verdict}"
    )
    ratio = median(checked) / median(bare)
    verdict = "met" if ratio < GOAL_RATIO else "missed"
    print(
        f"create: {shown('unchecked', bare)} {shown('checked', checked)} ratio={ratio:.3f} "
        f"goal_ratio={GOAL_RATIO} goal={verdict}"
    )


if __name__ == "__main__":
    main()
