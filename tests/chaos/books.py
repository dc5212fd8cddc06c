"""The books on usage, judged at rest: nothing is reserved, and what is used is what succeeded."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from batchscribe.v1.batch_pb2 import ItemState
from redis.asyncio import Redis

from gateway.errors import NotFound
from gateway.store import BatchStore, keys
from tests.chaos.load import Load, Promise


async def misbooked(redis: Redis, load: Load) -> list[str]:
    """Return whose books are wrong; batches that were deleted may have added to them."""
    problems = []
    deleted = Counter(promise.user for promise in load.deleted)
    for user in sorted({promise.user for promise in load.promises}):
        had = await _had(redis, user)
        seen = await _seen(redis, [promise for promise in load.promises if promise.user == user])
        is_more = any(had[kind] > seen[kind] for kind in seen) and not deleted[user]
        is_less = any(had[kind] < seen[kind] for kind in seen)
        if had["reserved"] or is_more or is_less:
            problems.append(f"{user} is booked {dict(had)} for {dict(seen)}")
    return problems


async def _had(redis: Redis, user: str) -> Counter[str]:
    """Return what is booked for a user, over all months."""
    had: Counter[str] = Counter()
    names: Any = await redis.keys(keys.key("usage", user, "*"))
    for name in names:
        row: Any = await redis.hgetall(name)
        had.update({kind.decode(): int(count) for kind, count in row.items()})
    return had


async def _seen(redis: Redis, promises: Sequence[Promise]) -> Counter[str]:
    """Return what the batches that are left have come to."""
    store, seen = BatchStore(redis), Counter({"videos": 0, "audio_ms": 0})
    for promise in promises:
        try:
            stored = await store.batch(promise.user, promise.batch_id, with_items=True)
        except NotFound:
            continue  # Lost, which is judged elsewhere.
        for item in stored.batch.items:
            if item.state == ItemState.ITEM_STATE_SUCCEEDED:
                seen.update(videos=1, audio_ms=item.audio_duration.ToMilliseconds())
    return seen
