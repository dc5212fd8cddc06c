"""Ids of batches, items and transcripts: unguessable, and an item's id leads back to its batch."""

import hashlib
import re
import secrets

_BATCH = "batch_"
_ITEM = "item_"
_ITEM_ID = re.compile(r"item_[^_]+(_\d+)+")


def new_batch_id() -> str:
    return _BATCH + secrets.token_hex(12)


def item_prefix(batch_id: str) -> str:
    """Return what the ids of the batch's items begin with; ``_<index>`` follows."""
    return _ITEM + batch_id.removeprefix(_BATCH)


def item_id(batch_id: str, index: int) -> str:
    return f"{item_prefix(batch_id)}_{index}"


def entry_id(playlist_id: str, place: int) -> str:
    """Return the id of the video at ``place``, from 1; the first takes over the playlist's own."""
    return playlist_id if place == 1 else f"{playlist_id}_{place}"


def transcription_id(item_id: str, epoch: int) -> str:
    """Return the id of the transcript made under the item's lease ``epoch``.

    The same lease always gives the same id, so storing a result again overwrites it.
    """
    digest = hashlib.sha256(f"{item_id}/{epoch}".encode()).hexdigest()
    return f"trans_{digest[:24]}"


def is_item(task_id: str) -> bool:
    """Return whether a transcriber's task is an item; somebody may have called it by hand."""
    return _ITEM_ID.fullmatch(task_id) is not None


def batch_of(item_id: str) -> str:
    """Return the id of the batch that the item belongs to."""
    return _BATCH + item_id.split("_")[1]


def index_of(item_id: str) -> int:
    """Return the item's place in the request, from 0."""
    return int(item_id.split("_")[2])
