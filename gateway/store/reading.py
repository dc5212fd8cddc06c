"""Stored hashes and events read as messages of the public contract. Reads bytes, calls nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from batchscribe.v1.batch_pb2 import Attempt, Batch, BatchItem, BatchState, ItemState
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.store.tally import Tally

Hash = Mapping[bytes, bytes]

ENDED_BATCH_STATES = frozenset(
    {
        BatchState.BATCH_STATE_SUCCEEDED,
        BatchState.BATCH_STATE_PARTIALLY_SUCCEEDED,
        BatchState.BATCH_STATE_FAILED,
        BatchState.BATCH_STATE_CANCELLED,
    }
)


@dataclass(frozen=True)
class StoredBatch:
    """A batch at one revision; ``batch`` has its items if they were asked for, and no progress."""

    batch: Batch
    tally: Tally


@dataclass(frozen=True)
class StoredEvent:
    """One revision of a batch: the batch itself or one of its items, as it was then."""

    revision: int
    at_ms: int
    tally: Tally
    change: Batch | BatchItem


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def batch_from(fields: Hash, tally: bytes, items: Sequence[Hash] = ()) -> StoredBatch:
    batch = Batch.FromString(fields[b"spec"])
    _fill_batch(batch, fields)
    batch.revision = int(fields[b"revision"])
    _set_time(batch.create_time, fields.get(b"created_ms"))
    _set_time(batch.update_time, fields.get(b"updated_ms"))
    batch.items.extend(item_from(item) for item in items)
    return StoredBatch(batch, Tally.parse(tally))


def item_from(fields: Hash) -> BatchItem:
    item = BatchItem.FromString(fields[b"video"])
    item.state = ItemState.ValueType(int(fields[b"state"]))
    item.attempt_count = int(fields.get(b"attempts") or 0)
    item.worker = fields.get(b"worker", b"").decode()
    item.title = fields.get(b"title", b"").decode()
    if duration_ms := fields.get(b"duration_ms"):
        item.audio_duration.FromMilliseconds(int(duration_ms))
    _set_time(item.start_time, fields.get(b"started_ms"))
    _set_time(item.end_time, fields.get(b"ended_ms"))
    _set_time(item.next_attempt_time, fields.get(b"not_before_ms"))
    item.unresolved = fields.get(b"unresolved") == b"1"
    item.MergeFromString(fields.get(b"notice", b""))
    item.MergeFromString(fields.get(b"outcome", b""))
    item.reused_from = fields.get(b"reused_from", b"").decode()
    if item.reused_from:  # With the outcome of its source, but a transcript of its own.
        item.transcription_id = fields[b"transcription_id"].decode()
    item.attempts.extend(_attempts(fields.get(b"history", b"")))
    return item


def _attempts(history: bytes) -> Iterator[Attempt]:
    for line in history.splitlines():
        start_ms, end_ms, worker, result, reason = json.loads(line)
        attempt = Attempt(worker=worker, result=result, reason=reason)
        attempt.start_time.FromMilliseconds(start_ms)
        attempt.end_time.FromMilliseconds(end_ms)
        yield attempt


def event_from(entry_id: bytes, fields: Hash, spec: Batch) -> StoredEvent:
    """Read one entry of a batch's stream; ``spec`` is what never changes of the batch."""
    revision, at_ms = int(entry_id.split(b"-")[0]), int(fields[b"at_ms"])
    change: Batch | BatchItem
    if b"item.video" in fields:
        change = item_from({name.removeprefix(b"item."): fields[name] for name in fields})
    else:
        change = Batch()
        change.CopyFrom(spec)
        change.ClearField("items")
        _fill_batch(change, fields)
        change.revision = revision
        change.update_time.FromMilliseconds(at_ms)
    return StoredEvent(revision, at_ms, Tally.parse(fields[b"tally"]), change)


def _fill_batch(batch: Batch, fields: Hash) -> None:
    batch.state = BatchState.ValueType(int(fields[b"state"]))
    batch.round = int(fields[b"round"])
    _set_time(batch.start_time, fields.get(b"started_ms"))
    _set_time(batch.end_time, fields.get(b"ended_ms"))
    _set_time(batch.expire_time, fields.get(b"expires_ms"))


def _set_time(field: Timestamp, milliseconds: bytes | None) -> None:
    if milliseconds:
        field.FromMilliseconds(int(milliseconds))
