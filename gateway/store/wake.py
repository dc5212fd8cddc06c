"""The shared wake stream: one blocking read for each gateway, whatever the number of watchers.

A wake says only that something changed; who wakes reads what. Wakes that were missed (Redis away,
stream trimmed) are made up for by waking everybody.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.store import keys
from gateway.store.connection import BLOCK_MS

log = structlog.get_logger()

RECONNECT_SECONDS = 0.2


@dataclass(frozen=True)
class Wake:
    """What one transition touched.

    Batches as "<user>/<batch_id>", members as "<user>/<item_id>", the addresses of transcribers
    whose running work waits to be adopted, and whether any item may start.
    """

    batches: tuple[str, ...]
    ended_items: tuple[str, ...]
    cancelled_members: tuple[str, ...]
    adoptable: tuple[str, ...]
    is_work_ready: bool


class WakeStream:
    """Reads the wake stream and tells subscribers; ``run`` never ends by itself."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._listeners: list[Callable[[Wake], None]] = []
        self._watched: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def listen(self, listener: Callable[[Wake], None]) -> None:
        """Call ``listener`` with every wake; it must not block."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def watching(self, user: str, batch_id: str) -> Iterator[asyncio.Event]:
        """Hold an event that is set whenever the batch may have changed."""
        member, event = f"{user}/{batch_id}", asyncio.Event()
        self._watched[member].add(event)
        try:
            yield event
        finally:
            self._watched[member].discard(event)
            if not self._watched[member]:
                del self._watched[member]

    @property
    def watches(self) -> int:
        """How many watch at the moment; any thread may ask."""
        return sum(map(len, tuple(self._watched.values())))

    async def run(self) -> None:
        async for wake in self._wakes():
            self._tell(wake)

    async def _wakes(self) -> AsyncIterator[Wake]:
        cursor = "$"
        while True:
            try:
                if cursor == "$":
                    cursor = await self._last_id()
                    self.wake_everybody()
                found = await self._redis.xread({keys.key("wake"): cursor}, block=BLOCK_MS)
            except RedisError as error:
                log.warning("wake stream lost", error=str(error))
                cursor = "$"
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            for entry_id, fields in _entries(found):
                cursor = entry_id
                yield _wake_from(fields)

    async def _last_id(self) -> str:
        newest: Any = await self._redis.xrevrange(keys.key("wake"), count=1)
        return str(newest[0][0].decode()) if newest else "0-0"

    def _tell(self, wake: Wake) -> None:
        for member in wake.batches:
            for event in self._watched.get(member, ()):
                event.set()
        for listener in self._listeners:
            listener(wake)

    def wake_everybody(self) -> None:
        self._tell(Wake(tuple(self._watched), (), (), (), is_work_ready=True))


def _entries(found: object) -> Iterator[tuple[str, dict[bytes, bytes]]]:
    # RESP3 answers with a map of streams to lists of lists of entries.
    for lists in found.values() if isinstance(found, dict) else ():
        for entries in lists:
            for entry_id, fields in entries:
                yield entry_id.decode(), fields


def _wake_from(fields: dict[bytes, bytes]) -> Wake:
    def words(name: bytes) -> tuple[str, ...]:
        return tuple(fields.get(name, b"").decode().split())

    return Wake(
        words(b"batches"),
        words(b"ended"),
        words(b"cancelled"),
        words(b"adoptable"),
        is_work_ready=fields.get(b"ready") != b"0",
    )
