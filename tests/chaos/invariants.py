"""What must hold after a run, judged from Redis and from what watchers were told alone."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from batchscribe.v1.batch_pb2 import Batch, BatchItem, BatchState, ItemState
from redis.asyncio import Redis

from gateway import ids
from gateway.errors import NotFound
from gateway.playlists import position
from gateway.store import ENDED_BATCH_STATES, BatchStore, StoredBatch, StoredEvent, keys
from tests.chaos.load import Load, Promise, Seen, WatchLog
from tests.chaos.script import UNRESOLVED

PAGE = 1000

ENDED_ITEM_STATES = frozenset(
    {
        ItemState.ITEM_STATE_SUCCEEDED,
        ItemState.ITEM_STATE_FAILED,
        ItemState.ITEM_STATE_CANCELLED,
        ItemState.ITEM_STATE_SKIPPED,
    }
)

AT_WORK_STATES = frozenset({ItemState.ITEM_STATE_FETCHING, ItemState.ITEM_STATE_TRANSCRIBING})

# What the ids of a batch and of all that is its own have in common.
HEX = re.compile("[0-9a-f]{24}")

# Keys that stay without a TTL when nothing runs; any other must have one, or be gone by then.
KEPT = frozenset(
    {"batch", "item", "events", "index", "transcript", "expiry", "reaped", "models_seen", "models",
     "turn", "wake", "schema", "message", "secrets", "result", "weights"}
)  # fmt: skip

# A lease and its item agree; asked for while everything runs.
LEASES_DISAGREEING = """
local wrong = {}
for i = 1, #ARGV, 2 do
  local item = redis.call('HMGET', ARGV[i + 1], 'leased', 'state')
  local is_listed = redis.call('ZSCORE', KEYS[1], ARGV[i])
  local is_leased = item[1] == '1'
  local is_at_work = item[2] == '2' or item[2] == '3'
  if item[1] and ((is_leased ~= (is_listed and true or false)) or (is_at_work and not is_leased))
  then wrong[#wrong + 1] = ARGV[i] end
end
return wrong
"""


@dataclass
class Verdict:
    """Items without an end, moves after an end, changes not told exactly once, and the rest.

    ``found`` is how many items came out of playlists.
    """

    lost: int = 0
    doubled: int = 0
    gaps: int = 0
    found: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.gaps or self.problems)


class Inspection:
    """Reads Redis as it is now and compares it with what was promised and told."""

    def __init__(self, redis: Redis) -> None:
        self.verdict = Verdict()
        self._redis = redis
        self._store = BatchStore(redis)
        self._transcripts: set[str] = set()

    async def judge(self, load: Load, accepted: Collection[str]) -> Verdict:
        """Judge a deployment at rest; ``accepted`` are the ids of the webhooks that arrived."""
        logs = {promise.batch_id: await self._judge_batch(promise) for promise in load.promises}
        for watch in load.watches:
            self._judge_watch(watch, logs[watch.promise.batch_id])
        due = {
            name
            for promise in load.promises
            if promise.is_notified
            for name in webhook_ids(promise, logs[promise.batch_id])
        }
        self._blame(f"the webhook {name} never arrived" for name in due.difference(accepted))
        await self._judge_keys({gone.batch_id.removeprefix("batch_") for gone in load.deleted})
        return self.verdict

    async def judge_leases(self, promises: Sequence[Promise]) -> None:
        """Judge, in one step of the server, that no item of ``promises`` runs without a lease."""
        arguments: list[str] = []
        for promise in promises:
            for item_id in item_ids(promise):
                arguments += [f"{promise.user}/{item_id}", keys.key("item", promise.user, item_id)]
        wrong: Any = await self._redis.eval(LEASES_DISAGREEING, 1, keys.key("leases"), *arguments)
        self._blame(f"{member.decode()} and the list of leases disagree" for member in wrong)

    # ---- a batch -------------------------------------------------------------------------------

    async def _judge_batch(self, promise: Promise) -> list[StoredEvent]:
        try:
            stored = await self._store.batch(promise.user, promise.batch_id, with_items=True)
        except NotFound:
            self.verdict.lost += len(promise.videos)
            return []
        log = await self._log(promise)
        await self._judge_items(promise, stored)
        self._judge_log(stored, log)
        return log

    async def _log(self, promise: Promise) -> list[StoredEvent]:
        log: list[StoredEvent] = []
        spec = Batch(batch_id=promise.batch_id)
        while True:
            after = log[-1].revision if log else 0
            page = await self._store.events(promise.user, spec, after, PAGE)
            log += page
            if len(page) < PAGE:
                return log

    async def _judge_items(self, promise: Promise, stored: StoredBatch) -> None:
        items = stored.batch.items
        self._judge_places(promise, items)
        for item in items:
            if item.state not in ENDED_ITEM_STATES:
                self.verdict.lost += 1
            elif item.transcription_id:
                name = keys.key("transcript", promise.user, item.transcription_id)
                self._transcripts.add(name)
                self.verdict.lost += not await self._redis.exists(name)
        counted = Counter(int(item.state) for item in items)
        told = stored.tally
        sums = (told.pending, told.fetching, told.transcribing, told.waiting_retry,
                told.succeeded, told.failed, told.cancelled, told.skipped)  # fmt: skip
        if sums != tuple(counted[state] for state in range(1, 9)):
            self._blame([f"{promise.batch_id}: counts {sums} are not those of its items"])
        if stored.batch.state not in ENDED_BATCH_STATES:
            self._blame([f"{promise.batch_id} has not ended"])

    def _judge_places(self, promise: Promise, items: Sequence[BatchItem]) -> None:
        """Each address is there once, or as all the videos of its playlist, in order."""
        places: dict[int, list[int]] = {index: [] for index in range(len(promise.videos))}
        for item in items:
            places[item.index].append(item.playlist.place)
            self.verdict.found += item.HasField("playlist")
            if item.error.reason == UNRESOLVED:
                self._blame([f"{item.item_id}: a playlist was asked for like a video"])
        for index, videos in enumerate(promise.videos):
            self.verdict.lost += not places[index]
            if places[index] not in ([], [0], list(range(1, videos + 1))):
                self._blame([f"{promise.batch_id}: {places[index]} of {videos} at {index}"])

    def _judge_log(self, stored: StoredBatch, log: Sequence[StoredEvent]) -> None:
        self.verdict.gaps += gaps([event.revision for event in log], 1, stored.batch.revision)
        self.verdict.doubled += second_ends(log)
        for event in log:
            tally = event.tally
            running = tally.pending + tally.fetching + tally.transcribing + tally.waiting_retry
            if running + tally.ended != tally.total:
                self._blame([f"{stored.batch.batch_id}@{event.revision}: counts miss the total"])
            if tally.fetching + tally.transcribing > stored.batch.options.max_concurrent:
                self._blame([f"{stored.batch.batch_id}@{event.revision}: too many at a time"])
        if not stored.batch.options.parallel and not is_in_order(log):
            self._blame([f"{stored.batch.batch_id}: its videos did not run in their order"])

    # ---- a watcher -----------------------------------------------------------------------------

    def _judge_watch(self, watch: WatchLog, log: Sequence[StoredEvent]) -> None:
        if not watch.seen or not log:
            self.verdict.gaps += 1
            return
        first, *later = watch.seen
        told = [first.revision, *(seen.revision for seen in later)]
        self.verdict.gaps += gaps(told, first.revision, log[-1].revision)
        stored = {event.revision: change_of(event) for event in log}
        self.verdict.gaps += sum(stored.get(seen.revision) != seen for seen in later)
        if watch.snapshots != 1:
            self._blame([f"{watch.promise.batch_id}: {watch.snapshots} snapshots for one watcher"])

    # ---- all keys ------------------------------------------------------------------------------

    async def _judge_keys(self, deleted: set[str]) -> None:
        async for found in self._redis.scan_iter(count=PAGE):
            name = found.decode()
            kind = key_kind(name)
            if kind is None:
                self._blame([f"the key {name} is in no table"])
            elif deleted.intersection(HEX.findall(name)):
                self._blame([f"the key {name} is of a deleted batch"])
            elif kind == "transcript" and name not in self._transcripts:
                self._blame([f"the key {name} is of no item"])
            elif kind not in KEPT and await self._redis.pttl(name) == -1:
                self._blame([f"the key {name} has no TTL"])

    def _blame(self, problems: Iterable[str]) -> None:
        self.verdict.problems += problems


def key_kind(name: str) -> str | None:
    """Return which key of the store's table ``name`` is; None if none."""
    for kind, template in keys.TEMPLATES.items():
        if re.fullmatch(re.escape(template).replace("%s", ".+"), name):
            return kind
    return None


def item_ids(promise: Promise) -> list[str]:
    """Return the ids of all items that there may be."""
    return [
        ids.entry_id(ids.item_id(promise.batch_id, index), place)
        for index, videos in enumerate(promise.videos)
        for place in range(1, videos + 1)
    ]


def webhook_ids(promise: Promise, log: Iterable[StoredEvent]) -> list[str]:
    """Return the id of the webhook of each round that has ended."""
    ends = sum(
        isinstance(event.change, Batch) and event.change.state in ENDED_BATCH_STATES
        for event in log
    )
    stem = promise.batch_id.replace("batch_", "msg_", 1)
    return [f"{stem}_{number}" for number in range(1, ends + 1)]


def gaps(revisions: Sequence[int], first: int, last: int) -> int:
    """Return how many of first..last are missing, repeated or out of order."""
    expected, found = range(first, last + 1), Counter(revisions)
    missing = sum(found[revision] == 0 for revision in expected)
    disorder = sum(later <= earlier for earlier, later in pairwise(revisions))
    return missing + disorder


def second_ends(log: Iterable[StoredEvent]) -> int:
    """Return how often an item moved after it had ended; a new round begins with its batch."""
    ended: set[str] = set()
    was_over, moves = False, 0
    for event in log:
        if isinstance(event.change, Batch):
            is_over = event.change.state in ENDED_BATCH_STATES
            if was_over and not is_over:
                ended.clear()
            was_over = is_over
        else:
            moves += event.change.item_id in ended
            if event.change.state in ENDED_ITEM_STATES:
                ended.add(event.change.item_id)
    return moves


def is_in_order(log: Iterable[StoredEvent]) -> bool:
    """Return whether no item of a serial batch was at work before one in front of it, by rounds."""
    latest = front = (-1, 0)
    for event in log:
        if isinstance(event.change, Batch):
            latest = front if event.change.state == BatchState.BATCH_STATE_PENDING else latest
        elif event.change.state in AT_WORK_STATES:
            if position(event.change) < latest:
                return False
            latest = position(event.change)
    return True


def change_of(event: StoredEvent) -> Seen:
    if isinstance(event.change, Batch):
        return Seen(event.revision, "", event.change.state)
    return Seen(event.revision, event.change.item_id, event.change.state)
