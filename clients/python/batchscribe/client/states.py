"""Which states are ends, and what a watcher knows of a batch.

``BatchPicture`` is the one place that turns a stream of events back into a batch.
"""

from dataclasses import dataclass, field

from batchscribe.v1 import batch_pb2, batch_service_pb2

ENDED_ITEM_STATES = frozenset(
    {
        batch_pb2.ITEM_STATE_SUCCEEDED,
        batch_pb2.ITEM_STATE_FAILED,
        batch_pb2.ITEM_STATE_CANCELLED,
        batch_pb2.ITEM_STATE_SKIPPED,
    }
)
ENDED_BATCH_STATES = frozenset(
    {
        batch_pb2.BATCH_STATE_SUCCEEDED,
        batch_pb2.BATCH_STATE_PARTIALLY_SUCCEEDED,
        batch_pb2.BATCH_STATE_FAILED,
        batch_pb2.BATCH_STATE_CANCELLED,
    }
)


def changed_batch(event: batch_service_pb2.WatchBatchResponse) -> batch_pb2.Batch | None:
    """Return the batch that an event carries, or None."""
    match event.WhichOneof("event"):
        case "snapshot":
            return event.snapshot
        case "batch_changed":
            return event.batch_changed
        case _:
            return None


def is_last(event: batch_service_pb2.WatchBatchResponse) -> bool:
    """True for the event that ends a watch: the batch itself, in an ended state."""
    batch = changed_batch(event)
    return batch is not None and batch.state in ENDED_BATCH_STATES


@dataclass
class BatchPicture:
    """A batch as the events so far describe it."""

    batch: batch_pb2.Batch = field(default_factory=batch_pb2.Batch)
    items: dict[str, batch_pb2.BatchItem] = field(default_factory=dict)
    audio_seconds_done: dict[str, float] = field(default_factory=dict)

    def apply(self, event: batch_service_pb2.WatchBatchResponse) -> list[batch_pb2.BatchItem]:
        """Take an event in and return the items whose state it changed."""
        batch = changed_batch(event)
        if batch is not None:
            self.batch.CopyFrom(batch)
        self.batch.progress.CopyFrom(event.progress)
        self.batch.ClearField("estimated_end_time")
        if event.HasField("estimated_end_time"):
            self.batch.estimated_end_time.CopyFrom(event.estimated_end_time)
        for moved in event.progress_update.items:
            self.audio_seconds_done[moved.item_id] = (
                moved.audio_processed.ToTimedelta().total_seconds()
            )
        return [item for item in _items_in(event) if self._replace(item)]

    def _replace(self, item: batch_pb2.BatchItem) -> bool:
        known = self.items.get(item.item_id)
        self.items[item.item_id] = item
        return known is None or known.state != item.state


def _items_in(event: batch_service_pb2.WatchBatchResponse) -> list[batch_pb2.BatchItem]:
    if event.HasField("item_changed"):
        return [event.item_changed]
    return list(event.snapshot.items)
