"""What Redis holds, key by key, beside what the model says it must hold."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from batchscribe.v1 import batch_pb2 as pb
from redis.asyncio import Redis

from gateway.store import BatchStore, Tally, keys
from tests.store_model.batch import NOW, Batch, Item, Queue
from tests.store_model.books import Books
from tests.store_model.model import Model
from tests.store_model.watcher import Watcher, counted, counts_of

Command: TypeAlias = tuple[str | int, ...]

_KEY = re.compile("|".join(re.escape(t).replace("%s", "[^:]+") for t in keys.TEMPLATES.values()))
_USAGE = re.compile(re.escape(keys.TEMPLATES["usage"]).replace("%s", "([^:]+)"))
# Fields of an item's hash, each with what the model calls it.
_FIELDS = {
    "state": "state",
    "epoch": "epoch",
    "leased": "is_leased",
    "placed": "is_placed",
    "cancel": "is_unwanted",
    "attempts": "attempts",
    "lost": "lost",
    "crashes": "crashes",
    "suspect": "suspicions",
    "site_waits": "site_waits",
}


async def run_all(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Run commands in one go; return their replies."""
    pipeline = redis.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return list(await pipeline.execute())


async def check_batch(store: BatchStore, batch: Batch, watcher: Watcher) -> None:
    """Compare a batch with what its readers see; tell the watcher what is new."""
    stored = await store.batch(batch.user, batch.batch_id, with_items=True)
    spec = pb.Batch(batch_id=batch.batch_id)
    for event in await store.events(batch.user, spec, watcher.revision, 1000):
        watcher.hear(event)
        assert event.revision < stored.batch.revision or event.tally == stored.tally
    assert watcher.revision == stored.batch.revision
    states = {item.item_id: item.state for item in batch.items}
    assert {item.item_id: item.state for item in stored.batch.items} == watcher.states == states
    for item, shown in zip(batch.items, stored.batch.items, strict=True):
        check_shown(item, shown)
    assert counts_of(stored.tally) == counted(states.values())
    assert (stored.tally.total, stored.tally.unresolved) == (len(states), batch.unresolved)
    assert audio_of(stored.tally) == batch.audio
    assert stored.batch.HasField("start_time") == batch.has_started
    assert (stored.tally.started_ms > 0) == batch.has_started
    assert (stored.batch.state, stored.batch.round) == (batch.state, batch.round)
    assert (watcher.batch_state, watcher.round) == (batch.state, batch.round)


def check_shown(item: Item, shown: pb.BatchItem) -> None:
    """Compare an item, in its place, with what its user sees of it."""
    assert (shown.item_id, shown.index) == (item.item_id, item.index)
    is_of_playlist = item.expanded_epoch > 0 or item.place > 1
    assert shown.playlist.place == (item.place if is_of_playlist else 0)
    assert shown.unresolved == item.is_unresolved
    assert (len(shown.warnings) > 0) == item.is_cut
    is_waiting = shown.state == pb.ITEM_STATE_WAITING_RETRY
    assert shown.HasField("next_attempt_time") == is_waiting


def audio_of(tally: Tally) -> list[int]:
    return [
        tally.known,
        tally.known_audio_ms,
        tally.ended_unknown,
        tally.ended_audio_ms,
        tally.done_audio_ms,
    ]


async def check_all(redis: Redis, model: Model) -> None:
    """Compare the hashes, the indexes made of them, and the names of all keys."""
    await asyncio.gather(
        check_items(redis, list(model.items)),
        check_indexes(redis, model),
        check_service(redis, model),
        check_leases(redis, model),
        check_keys(redis, model),
        check_books(redis, model),
        *(check_transcriber(redis, model, address) for address in model.addresses),
    )


async def check_items(redis: Redis, items: Sequence[Item]) -> None:
    """Compare every counter and mark of items."""
    names = [keys.key("item", *item.member.split("/")) for item in items]
    rows = await run_all(redis, [("HMGET", name, *_FIELDS) for name in names])
    for item, row in zip(items, rows, strict=True):
        stored = dict(zip(_FIELDS, map(int, row), strict=True))
        assert stored == {field: int(getattr(item, name)) for field, name in _FIELDS.items()}


async def check_indexes(redis: Redis, model: Model) -> None:
    """Compare every index with the items and batches it is made of."""
    expected = dict(indexes_of(model))
    found = await run_all(redis, [("ZRANGE", name, 0, -1) for name in expected])
    for (name, members), reply in zip(expected.items(), found, strict=True):
        assert _texts(reply) == members, name


def indexes_of(model: Model) -> Iterator[tuple[str, set[str]]]:
    """Return the members of every sorted set that follows from the state of items."""
    items = list(model.items)
    yield keys.key("leases"), {item.member for item in items if item.is_leased}
    yield keys.key("delayed"), {item.member for item in items if item.is_delayed}
    yield keys.key("users"), model.line.waiting_users
    for user in model.users:
        batches = [batch for batch in model.batches.values() if batch.user == user]
        yield keys.key("index", user), {batch.batch_id for batch in batches}
        runnable = {batch.batch_id for batch in batches if batch.is_runnable}
        yield keys.key("runnable", user), runnable
    for batch in model.batches.values():
        ready = {item.member for item in batch.items if item.queue is Queue.READY}
        yield keys.key("ready", batch.user, batch.batch_id), ready
    yield keys.key("deadlines"), {b.name for b in model.batches.values() if not b.has_ended}
    kept = {b.name for b in model.batches.values() if b.has_ended and b.keep_ms}
    yield keys.key("expiry"), kept


async def check_service(redis: Redis, model: Model) -> None:
    """Who waits has the service that the next claim goes by."""
    users = sorted(model.line.waiting_users)
    received = await run_all(redis, [("ZSCORE", keys.key("users"), user) for user in users])
    assert list(map(float, received)) == [model.line.service[user] for user in users]


async def check_leases(redis: Redis, model: Model) -> None:
    """A lease holds until it has run out."""
    leased = [item for item in model.items if item.is_leased]
    time, *ends = await run_all(
        redis, [("TIME",), *(("ZSCORE", keys.key("leases"), item.member) for item in leased)]
    )
    assert [float(end) < int(time[0]) * 1000 for end in ends] == [i.has_expired for i in leased]


async def check_books(redis: Redis, model: Model) -> None:
    """What is reserved and used in each month is what the batches come to."""
    (found,) = await run_all(redis, [("KEYS", keys.key("usage", "*", "*"))])
    names = sorted(_texts(found))
    rows = await run_all(redis, [("HGETALL", name) for name in names])
    books: Books = Counter()
    for name, row in zip(names, rows, strict=True):
        ((user, month),) = _USAGE.findall(name)
        for kind, count in row.items():
            books[user, NOW if month == this_month() else month, kind.decode()] = int(count)
    assert books == model.books


def this_month() -> str:
    return f"{datetime.now(UTC):%Y-%m}"


async def check_transcriber(redis: Redis, model: Model, address: str) -> None:
    """What a transcriber holds, what it is offered, and what it is kept for."""
    held, offered, kept_for = await run_all(
        redis,
        [
            ("SMEMBERS", keys.key("worker", address)),
            ("ZRANGE", keys.key("adopt", address), 0, -1),
            ("GET", keys.key("alone", address)),
        ],
    )
    assert _texts(held) == {item.member for item in model.leased_to(address)}
    assert _texts(offered) == {i.member for i in model.items if i.offered_to == address}
    alone = model.alone_at(address)
    assert kept_for == (alone.member.encode() if alone else None)


def _texts(members: Iterable[bytes]) -> set[str]:
    return {member.decode() for member in members}


async def check_keys(redis: Redis, model: Model) -> None:
    """Every key has a known name, and of a deleted batch nothing is left."""
    (found,) = await run_all(redis, [("KEYS", "*")])
    names = _texts(found)
    assert all(_KEY.fullmatch(name) for name in names)
    of_batches = {name for batch in model.batches.values() for name in keys_of(batch)}
    kinds = re.compile(r"\{bs\}:u:[^:]+:(batch|item|events|message):.*")
    assert {name for name in names if kinds.fullmatch(name)} == of_batches


def keys_of(batch: Batch) -> Iterator[str]:
    """Return the keys that live as long as the batch: each round that ended left a message."""
    yield keys.key("batch", batch.user, batch.batch_id)
    yield keys.key("events", batch.user, batch.batch_id)
    for item in batch.items:
        yield keys.key("item", *item.member.split("/"))
    message = batch.batch_id.replace("batch_", "msg_")
    for number in range(1, batch.round + batch.has_ended):
        yield keys.key("message", batch.user, f"{message}_{number}")
