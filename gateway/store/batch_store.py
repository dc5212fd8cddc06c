"""Batch state in Redis.

An item moves forward only, under a lease whose epoch fences every write: a late result carries an
old epoch and is dropped, which is what makes a repeated Transcribe harmless.
"""

from collections.abc import Sequence

from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1.batch_pb2 import (
    Batch,
    BatchItem,
    BatchOptions,
    ItemError,
    ItemState,
    ItemWarning,
)
from redis.asyncio import Redis

from gateway import reuse
from gateway.errors import (
    NotFound,
    RequestIdReused,
    StoreFull,
    WrongState,
)
from gateway.store import keys, reading
from gateway.store.failures import (
    EXPIRED,
    PLAYLIST_CUT,
    PLAYLIST_OVER_QUOTA,
    POISON,
    WORKER_LOST,
)
from gateway.store.leases import Lease, Release, Renewal, Vacancy, lease_from
from gateway.store.new_batch import NewBatch, NewItem, entry_arguments, hash_of
from gateway.store.pipeline import Argument, Commands
from gateway.store.reading import StoredBatch, StoredEvent
from gateway.store.scripts import Scripts
from gateway.store.usage import REFUSALS, UNLIMITED, Allowance, refusal

LEASE_MS = 10_000
# Nobody has reaped for so long: Redis or every gateway was away, and owners may renew first.
OUTAGE_MS = 3_000
OUTAGE_GRACE_MS = 10_000
# Leases an item may lose through nobody's fault before it is taken for the cause.
MAX_LOST = 20
# A child that died of an item three times, or a transcriber that vanished with it four times.
MAX_CRASHES = 3
MAX_SUSPICIONS = 4
# Times an item waits for its site, the waits doubling from a minute to an hour.
MAX_SITE_WAITS = 8
DEADLINE_MS = 7 * 24 * 3600 * 1000


class BatchStore:
    """Reads and transitions of batches. Every method may raise StoreUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = Commands(redis)
        self._scripts = Scripts(redis)

    async def create(self, user: str, new: NewBatch) -> str:
        """Store a batch and return its id; a replayed request_id returns the id it made before.

        Raises RequestIdReused, StoreFull, RateLimited, QuotaExceeded.
        """
        digests = await self._digests(new.batch.options, [request for _, request in new.items])
        arguments = new.arguments(user, DEADLINE_MS, digests)
        verdict, *rest = await self._scripts.run("create", *arguments)
        if verdict == b"FULL":
            raise StoreFull
        if verdict in REFUSALS:
            raise refusal(user, new.allowance, verdict, *rest)
        batch_id = str(rest[0].decode())
        if verdict == b"CONFLICT":
            raise RequestIdReused(batch_id)
        return batch_id

    async def claim(self, op_id: str, vacancies: Sequence[Vacancy]) -> list[Lease]:
        """Lease items to transcribers: what they still work on, and as many ready ones as fit.

        Ready items go fairly between users, and at most ``slots`` are leased to one transcriber
        over all gateways. With the same ``op_id`` a repeat is safe; leases of an answer that never
        arrives run out by themselves.
        """
        arguments: list[Argument] = [LEASE_MS]
        for vacancy in vacancies:
            arguments += [vacancy.address, vacancy.slots, vacancy.free]
        rows = await self._scripts.run("claim", op_id, *arguments)
        return [lease_from(*row) for row in rows]

    async def stage(
        self, lease: Lease, worker: str, state: ItemState.ValueType, title: str, duration_ms: int
    ) -> bool:
        """Record how far the transcriber is with an item; False if the lease is stale."""
        answer = await self._scripts.run(
            "stage", lease.member, lease.epoch, worker, int(state), title, duration_ms
        )
        return bool(answer == b"OK")

    async def expand(self, lease: Lease, entries: Sequence[NewItem], *, is_cut: bool) -> bool:
        """Put the videos of a playlist in its place; False if the lease is stale. Safe to repeat.

        No more than its batch and its user may have: see expand.lua. ``is_cut``: these are not all.
        """
        arguments: list[Argument] = [
            int(is_cut),
            _warning(PLAYLIST_CUT),
            _outcome(PLAYLIST_OVER_QUOTA),
        ]
        digests = await self._digests(lease.options, [request for _, request in entries])
        for entry, digest in zip(entries, digests, strict=True):
            arguments += entry_arguments(entry, digest)
        answer = await self._scripts.run("expand", lease.member, lease.epoch, *arguments)
        return bool(answer == b"OK")

    async def renew(self, leases: Sequence[Lease]) -> list[Renewal]:
        """Extend leases by LEASE_MS; one answer for each."""
        arguments: list[Argument] = [LEASE_MS]
        for lease in leases:
            arguments += [lease.member, lease.epoch]
        answers = await self._scripts.run("renew", *arguments)
        return [Renewal(answer.decode()) for answer in answers]

    async def finish(
        self,
        lease: Lease,
        state: ItemState.ValueType,
        outcome: BatchItem,
        *,
        worker: str = "",
        duration_ms: int = 0,
        transcript: bytes = b"",
        model_sha256: str = "",
    ) -> bool:
        """End an item; False if the lease is stale and the result is dropped. Safe to repeat.

        ``outcome`` holds what the end adds to the item: error, or language and the transcription_id
        under which ``transcript``, packed, is kept; with ``model_sha256`` it may be used again.
        """
        answer = await self._scripts.run(
            "finish",
            lease.member,
            lease.epoch,
            int(state),
            outcome.SerializeToString(),
            outcome.transcription_id,
            transcript,
            duration_ms,
            worker,
            outcome.error.reason,
            reuse.digest(lease.request, model_sha256) if model_sha256 else "",
            lease.request.model,
            model_sha256,
        )
        return bool(answer == b"OK")

    async def release(
        self,
        lease: Lease,
        kind: Release,
        *,
        delay_ms: int = 0,
        error: ItemError | None = None,
        boot_id: str = "",
    ) -> bool:
        """Give an item up without an end; False if the lease is stale already.

        ``boot_id`` is the run of the transcriber that was LOST.
        """
        error = error or ItemError()
        limit = MAX_SITE_WAITS if kind is Release.SITE else MAX_CRASHES
        last = POISON if kind is Release.CRASH else error
        answer = await self._scripts.run(
            "release",
            lease.member,
            lease.epoch,
            kind.value,
            delay_ms,
            _outcome(error),
            error.reason,
            limit,
            _outcome(last),
            boot_id,
        )
        return bool(answer == b"OK")

    async def reap(self) -> tuple[int, int]:
        """Take back leases that ran out, end overdue batches, delete expired ones.

        Returns how many items were taken back, and how many batches ended or went.
        """
        reaped, ended = await self._scripts.run(
            "reap",
            OUTAGE_MS,
            OUTAGE_GRACE_MS,
            MAX_LOST,
            _outcome(WORKER_LOST),
            _outcome(EXPIRED),
        )
        return int(reaped), int(ended)

    async def blame(self, boot_id: str) -> int:
        """Suspect the items that were on a run of a transcriber which ended without a word."""
        return int(await self._scripts.run("blame", boot_id, MAX_SUSPICIONS, _outcome(POISON)))

    async def retry(self, user: str, batch_id: str, allowance: Allowance = UNLIMITED) -> None:
        """Start a new round of an ended batch. Raises NotFound, WrongState, QuotaExceeded."""
        _, *limits = allowance.arguments()
        verdict, *rest = await self._scripts.run("retry", user, batch_id, *limits)
        if verdict in REFUSALS:
            raise refusal(user, allowance, verdict, *rest)
        if verdict == b"NOTHING":
            message = "No video of this batch failed, so there is nothing to run again."
            raise WrongState("NO_RETRYABLE_ITEMS", batch_id, message)
        _check_ended(verdict, batch_id)

    async def delete(self, user: str, batch_id: str) -> None:
        """Delete an ended batch for good. Raises NotFound, WrongState."""
        _check_ended(await self._scripts.run("delete", user, batch_id), batch_id)

    async def cancel(self, user: str, batch_id: str, item_ids: Sequence[str]) -> None:
        """Cancel a batch or some of its items; idempotent. Raises NotFound."""
        verdict, *rest = await self._scripts.run("cancel", user, batch_id, *item_ids)
        if verdict == b"NOT_FOUND":
            raise NotFound("batch", batch_id)
        if verdict == b"NO_SUCH_ITEM":
            raise NotFound("item", rest[0].decode())

    async def batch(self, user: str, batch_id: str, *, with_items: bool) -> StoredBatch:
        """Return a batch as of one moment. Raises NotFound."""
        found = await self._scripts.run("read", user, batch_id, int(with_items))
        if found is None:
            raise NotFound("batch", batch_id)
        fields, tally, items = found
        return reading.batch_from(
            reading.pairs(fields), tally, [reading.pairs(item) for item in items]
        )

    async def request(self, user: str, request_id: str, body: bytes) -> str | None:
        """Return the id of the batch that this request_id made; None if it is new.

        Raises RequestIdReused.
        """
        name = keys.key("request", user, request_id)
        body_hash, batch_id = await self._redis.run("HMGET", name, "body_hash", "batch_id")
        if batch_id is None:
            return None
        if body_hash.decode() != hash_of(body):
            raise RequestIdReused(batch_id.decode())
        return str(batch_id.decode())

    async def batch_ids(
        self, user: str, before: tuple[int, str] | None, count: int
    ) -> list[tuple[int, str]]:
        """Return creation time in ms and id of up to ``count`` batches, newest first.

        ``before`` is the last entry of the page before.
        """
        latest = before[0] if before else "+inf"
        # Batches made in the same millisecond as the last one are read again and left out.
        entries = await self._redis.run(
            "ZREVRANGEBYSCORE", keys.key("index", user), latest, "-inf", "WITHSCORES", "LIMIT", 0,
            count + 100,
        )  # fmt: skip
        found = [(int(score), batch_id.decode()) for batch_id, score in entries]
        return [entry for entry in found if before is None or entry < before][:count]

    async def events(
        self, user: str, spec: Batch, after_revision: int, count: int
    ) -> list[StoredEvent]:
        """Return the next changes of a batch in order; empty if there are none or it is gone."""
        stream = keys.key("events", user, spec.batch_id)
        entries = await self._redis.run(
            "XRANGE", stream, f"({after_revision}-1", "+", "COUNT", count
        )
        return [
            reading.event_from(entry_id, reading.pairs(flat), spec) for entry_id, flat in entries
        ]

    async def transcript(self, user: str, transcription_id: str) -> bytes:
        """Return a packed transcript. Raises NotFound."""
        blob = await self._redis.run("GET", keys.key("transcript", user, transcription_id))
        if blob is None:
            raise NotFound("transcript", transcription_id)
        return bytes(blob)

    async def _digests(
        self, options: BatchOptions, requests: Sequence[TranscribeRequest]
    ) -> list[str]:
        """Return what a result for each would be known as; empty if none is wanted."""
        if not options.reuse_results:
            return [""] * len(requests)
        models = {request.model: "" for request in requests}
        found = await self._redis.run("HMGET", keys.key("weights"), *models)
        for model, sha256 in zip(models, found, strict=True):
            models[model] = sha256.decode() if sha256 else ""
        return [
            reuse.digest(request, models[request.model]) if models[request.model] else ""
            for request in requests
        ]


def _check_ended(verdict: bytes, batch_id: str) -> None:
    if verdict == b"NOT_FOUND":
        raise NotFound("batch", batch_id)
    if verdict == b"RUNNING":
        message = "The batch is still running; wait for its end or cancel it first."
        raise WrongState("BATCH_RUNNING", batch_id, message)


def _outcome(error: ItemError) -> bytes:
    outcome = BatchItem(error=error) if error.reason else BatchItem()
    return outcome.SerializeToString()


def _warning(warning: ItemWarning) -> bytes:
    return BatchItem(warnings=[warning]).SerializeToString()
