"""What the items of a playlist's videos are. Pure.

Each is asked for as the playlist was and keeps its index, so no other item of the batch moves.
"""

from collections.abc import Iterator

from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    Playlist,
    PlaylistEntry,
    TranscribeRequest,
)
from batchscribe.v1.batch_pb2 import BatchItem

from gateway import ids


def position(item: BatchItem) -> tuple[int, int]:
    """Return what the items of a batch sort by."""
    return item.index, item.playlist.place


def entries(
    shown: BatchItem, request: TranscribeRequest, playlist: Playlist
) -> Iterator[tuple[BatchItem, TranscribeRequest]]:
    """Yield item and work for each video; ``shown`` and ``request`` are those of the playlist."""
    for place, entry in enumerate(playlist.entries, start=1):
        item, work = BatchItem(), TranscribeRequest()
        item.CopyFrom(shown)
        work.CopyFrom(request)
        item.item_id = work.task_id = ids.entry_id(shown.item_id, place)
        item.url = work.url = entry.url
        item.playlist.url, item.playlist.title, item.playlist.place = (
            shown.url,
            playlist.title,
            place,
        )
        item.title = entry.title
        if _is_whole(entry, work):
            item.audio_duration.CopyFrom(entry.duration)
        work.ClearField("epoch")
        yield item, work


def _is_whole(entry: PlaylistEntry, work: TranscribeRequest) -> bool:
    """Say whether the length of the video is that of the audio to come."""
    return entry.HasField("duration") and not work.options.HasField("clip")
