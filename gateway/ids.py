"""Ids of batches, items and transcripts: unguessable, and an item's id leads back to its batch."""

import hashlib
import secrets

_BATCH = "batch_"
_ITEM = "item_"


def new_batch_id() -> str:
    return _BATCH + secrets.token_hex(12)


def item_prefix(batch_id: str) -> str:
    """Return what the ids of the batch's items begin with; ``_<index>`` follows."""
    return _ITEM + batch_id.removeprefix(_BATCH)


def item_id(batch_id: str, index: int) -> str:
    return f"{item_prefix(batch_id)}_{index}"


def transcription_id(item_id: str, epoch: int) -> str:
    """Return the id of the transcript made under the item's lease ``epoch``.

    The same lease always gives the same id, so storing a result again overwrites it.
    """
    digest = hashlib.sha256(f"{item_id}/{epoch}".encode()).hexdigest()
    return f"trans_{digest[:24]}"


def batch_of(item_id: str) -> str:
    """Return the id of the batch that the item belongs to."""
    return _BATCH + item_id.removeprefix(_ITEM).rpartition("_")[0]


def index_of(item_id: str) -> int:
    return int(item_id.rpartition("_")[2])
