"""What a person wants to know of all the batches of one job, put together from their watches."""

import time
from dataclasses import dataclass, field

from batchscribe.client.states import ENDED_ITEM_STATES, BatchPicture
from batchscribe.v1 import batch_pb2, batch_service_pb2


@dataclass
class Overview:
    """Several batches seen as one."""

    pictures: dict[str, BatchPicture] = field(default_factory=dict)

    def apply(
        self, batch_id: str, event: batch_service_pb2.WatchBatchResponse
    ) -> list[batch_pb2.BatchItem]:
        """Take an event in and return the items whose state it changed."""
        return self.pictures.setdefault(batch_id, BatchPicture()).apply(event)

    @property
    def items(self) -> list[batch_pb2.BatchItem]:
        return [item for picture in self.pictures.values() for item in picture.items.values()]

    @property
    def total(self) -> int:
        return sum(picture.batch.progress.total for picture in self.pictures.values())

    @property
    def unresolved(self) -> int:
        """Of ``total``, what may still turn out to be playlists of many."""
        return sum(picture.batch.progress.unresolved for picture in self.pictures.values())

    @property
    def cut_playlists(self) -> list[str]:
        """The addresses of playlists that had more videos than a batch may have."""
        return [
            item.playlist.url
            for item in self.items
            if any(warning.reason == "PLAYLIST_CUT" for warning in item.warnings)
        ]

    @property
    def ended(self) -> int:
        return sum(item.state in ENDED_ITEM_STATES for item in self.items)

    @property
    def succeeded(self) -> int:
        return sum(item.state == batch_pb2.ITEM_STATE_SUCCEEDED for item in self.items)

    @property
    def fraction(self) -> float:
        """How much is done, 0 to 1, each batch weighted by its number of videos."""
        done = sum(
            picture.batch.progress.fraction * picture.batch.progress.total
            for picture in self.pictures.values()
        )
        return done / self.total if self.total else 0.0

    @property
    def realtime_factor(self) -> float:
        """Seconds of audio done per second; 0 before it was measured."""
        return sum(p.batch.progress.realtime_factor for p in self.pictures.values())

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last batch will probably end; None while that is unknown."""
        ends = [
            picture.batch.estimated_end_time.ToNanoseconds() / 1e9
            for picture in self.pictures.values()
            if picture.batch.HasField("estimated_end_time")
        ]
        is_known = ends and not self.unresolved
        return max(0.0, max(ends) - time.time()) if is_known else None

    def audio_seconds(self, item: batch_pb2.BatchItem) -> tuple[float, float | None]:
        """Return how much of an item's audio is done, and how long it is if that is known."""
        total = item.audio_duration.ToNanoseconds() / 1e9 or None
        if item.state in ENDED_ITEM_STATES:
            return total or 0.0, total
        done = (p.audio_seconds_done.get(item.item_id, 0.0) for p in self.pictures.values())
        return max(done, default=0.0), total
