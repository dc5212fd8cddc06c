"""What users have had, as it follows from the model's batches: by user, month and kind."""

from collections import Counter
from typing import TypeAlias

from tests.store_model.batch import SUCCEEDED, Batch

Books: TypeAlias = Counter[tuple[str, str, str]]


def booked(batch: Batch) -> Books:
    """Return what a batch counts for: in its round's month while it is open, then by its ends."""
    books: Books = Counter()
    for item in batch.items:
        if not item.has_ended:
            books[batch.user, batch.month, "reserved"] += 1
        elif item.state == SUCCEEDED:
            books[batch.user, item.month, "videos"] += 1
            books[batch.user, item.month, "audio_ms"] += item.duration_ms
    return books


def exceeds(books: Books, batch: Batch, count: int) -> bool:
    """Say whether so many videos more are too many for the batch's user."""
    had = sum(books[batch.user, batch.month, kind] for kind in ("reserved", "videos"))
    return batch.most_videos is not None and count > 0 and had + count > batch.most_videos
