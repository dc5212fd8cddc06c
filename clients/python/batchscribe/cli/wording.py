"""How things are said on a terminal: durations, names, errors.

Titles and messages come from strangers; what is printed is stripped of control characters first.
"""

import unicodedata

from batchscribe.client.errors import BatchscribeError, Unauthenticated, Unavailable
from batchscribe.v1 import batch_pb2


def printable(text: str) -> str:
    """Return ``text`` on one line, without anything a terminal would obey."""
    spaced = " ".join(text.split())
    return "".join(c for c in spaced if not unicodedata.category(c).startswith("C"))


def clock(seconds: float) -> str:
    """Return a duration as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number_of(item: batch_pb2.BatchItem) -> str:
    """Return an item's place in the request, and in its playlist."""
    place = item.playlist.place
    return f"{item.index}.{place}" if place else str(item.index)


def state_of(item: batch_pb2.BatchItem) -> str:
    if item.unresolved and item.state == batch_pb2.ITEM_STATE_PENDING:
        return "unresolved"
    name = batch_pb2.ItemState.Name(item.state)
    return name.removeprefix("ITEM_STATE_").lower().replace("_", " ")


def state_of_batch(batch: batch_pb2.Batch) -> str:
    name = batch_pb2.BatchState.Name(batch.state)
    return name.removeprefix("BATCH_STATE_").lower().replace("_", " ")


def name_of(item: batch_pb2.BatchItem) -> str:
    """Return the title once known, else the address."""
    return printable(item.title or item.url)


def why_failed(item: batch_pb2.BatchItem) -> str:
    """Return what went wrong and what can be done, or an empty string."""
    return printable(f"{item.error.message} {item.error.hint}")


def explain(error: BatchscribeError) -> str:
    """Return an error as a sentence with a hint, and a line for each bad field."""
    # The message repeats the first violation, for those who see nothing else.
    lines = ["The request was not accepted:" if error.violations else printable(error.message)]
    lines += [printable(f"- {bad.field}: {bad.description}") for bad in error.violations]
    if isinstance(error, Unavailable):
        lines.append("Is the server running, and is its address right? See `batchscribe doctor`.")
    if isinstance(error, Unauthenticated):
        lines.append("Give the server's key with --api-key-file or BATCHSCRIBE_API_KEY.")
    return "\n".join(lines)
