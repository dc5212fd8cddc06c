"""What transcribers offer, remembered for the time when none of them is up."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from batchscribe.transcriber.v1.transcriber_service_pb2 import ServedModel
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.pipeline import Commands

REMEMBERED_MS = 7 * 24 * 3600 * 1000

# Models by name, each with when it was seen last, in ms since 1970.
Seen: TypeAlias = Mapping[str, tuple[ServedModel, int]]


class Offers:
    """The models seen on transcribers. Every method may raise StoreUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = Commands(redis)

    async def see(self, models: Sequence[ServedModel], now_ms: int) -> None:
        """Remember that a transcriber offers these models."""
        blobs = [part for model in models for part in (model.name, model.SerializeToString())]
        times = [part for model in models for part in (now_ms, model.name)]
        await self._redis.run("HSET", keys.key("models"), *blobs)
        await self._redis.run("ZADD", keys.key("models_seen"), *times)

    async def seen(self, now_ms: int) -> Seen:
        """Return the models seen within 7 days."""
        found = await self._redis.run(
            "ZRANGEBYSCORE", keys.key("models_seen"), now_ms - REMEMBERED_MS, "+inf", "WITHSCORES"
        )
        names = [name for name, _ in found]
        blobs = await self._redis.run("HMGET", keys.key("models"), *names) if names else []
        return {
            name.decode(): (ServedModel.FromString(blob), int(when))
            for (name, when), blob in zip(found, blobs, strict=True)
        }
