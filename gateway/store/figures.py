"""Figures of the whole deployment, for metrics: what has ended, and what is still to be done."""

import asyncio
from dataclasses import dataclass

from batchscribe.v1.batch_pb2 import ItemState
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.pipeline import Commands
from gateway.store.scripts import Scripts
from gateway.store.tally import TALLY_FIELDS, Tally

_BATCHES_AT_ONCE = 500


@dataclass(frozen=True)
class Ends:
    """What has ended since it was asked for last: items by state, and the seconds of batches."""

    items: dict[ItemState.ValueType, int]
    batch_seconds: list[float]


@dataclass(frozen=True)
class Queue:
    """Items that wait to be worked on, and the audio of all that have not ended.

    Audio of unknown length counts as it does for progress.
    """

    waiting_items: int = 0
    audio_seconds: float = 0.0


class Figures:
    """Reads figures. Every method may raise StoreUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = Commands(redis)
        self._scripts = Scripts(redis)

    async def take_ends(self) -> Ends:
        """Return what no gateway has been told yet."""
        flat = await self._scripts.run("ended")
        ends = Ends({}, [])
        for what, value in zip(flat[::2], flat[1::2], strict=True):
            if b"/" in what:
                ends.batch_seconds.append(int(value) / 1000)
            elif int(value):
                ends.items[ItemState.ValueType(int(what))] = int(value)
        return ends

    async def queue(self) -> Queue:
        """Return what is still to be done of all batches."""
        members = await self._redis.run("ZRANGE", keys.key("deadlines"), 0, -1)
        tallies: list[Tally] = []
        for start in range(0, len(members), _BATCHES_AT_ONCE):
            part = members[start : start + _BATCHES_AT_ONCE]
            tallies += await asyncio.gather(*(self._tally(member) for member in part))
        return Queue(
            sum(tally.pending + tally.waiting_retry for tally in tallies),
            sum(tally.total_audio_ms - tally.ended_total_ms for tally in tallies) / 1000,
        )

    async def _tally(self, member: bytes) -> Tally:
        user, _, batch_id = member.decode().partition("/")
        fields = await self._redis.run("HMGET", keys.key("batch", user, batch_id), *TALLY_FIELDS)
        return Tally(*(int(field or 0) for field in fields))
