"""A batch as the plan's JSON document: what the REST routes answer and what webhooks tell.

Pure. Field names and their meaning are the plan's; where it is silent, the tables below decide.
"""

from batchscribe.v1.batch_pb2 import (
    BATCH_STATE_CANCELLED,
    BATCH_STATE_FAILED,
    BATCH_STATE_PARTIALLY_SUCCEEDED,
    BATCH_STATE_PENDING,
    BATCH_STATE_SUCCEEDED,
    ITEM_STATE_CANCELLED,
    ITEM_STATE_FAILED,
    ITEM_STATE_FETCHING,
    ITEM_STATE_SKIPPED,
    ITEM_STATE_SUCCEEDED,
    ITEM_STATE_TRANSCRIBING,
    Batch,
    BatchItem,
    BatchProgress,
)
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, Field

from gateway.playlists import position

_BATCH_STATUS = {
    BATCH_STATE_PENDING: "pending",
    BATCH_STATE_SUCCEEDED: "completed",
    BATCH_STATE_PARTIALLY_SUCCEEDED: "partially_failed",
    BATCH_STATE_FAILED: "failed",
    BATCH_STATE_CANCELLED: "cancelled",
}  # Every other state: "processing".

ITEM_STATUS = {
    ITEM_STATE_FETCHING: "processing",
    ITEM_STATE_TRANSCRIBING: "processing",
    ITEM_STATE_SUCCEEDED: "success",
    ITEM_STATE_FAILED: "failed",
    ITEM_STATE_CANCELLED: "cancelled",
    ITEM_STATE_SKIPPED: "cancelled",
}  # Every other state: "pending".


class VideoResult(BaseModel):
    """One video of a batch, whether it has ended or not."""

    video_index: int = Field(description="Place in the request, from 0.")
    youtube_url: str = Field(description="The address; of a video found in a playlist, its own.")
    status: str = Field(description="pending, processing, success, failed or cancelled")
    transcription_id: str | None = Field(None, description="Names the transcript of a success.")
    error: str | None = Field(None, description="Why it failed, as a sentence.")
    processing_time: float | None = Field(None, description="Seconds from first start to end.")
    completed_at: str | None = Field(None, description="When it ended.")


class BatchDocument(BaseModel):
    """A batch as it is now; ``results`` has every video, in the order of the request."""

    batch_id: str = Field(description='"batch_" and hexadecimal digits.')
    status: str = Field(
        description="pending, processing, completed, partially_failed, failed or cancelled"
    )
    total_videos: int = Field(description="Number of videos.")
    completed: int = Field(description="Videos with a transcript.")
    failed: int = Field(description="Videos that failed for good.")
    in_progress: int = Field(description="Videos being fetched or transcribed.")
    progress_percentage: float = Field(description="Share of the videos that have ended.")
    results: list[VideoResult] = Field(description="Every video, ended or not, in order.")
    estimated_completion: str | None = Field(
        None,
        description="When it will probably end; null before a video has ended, and at the end.",
    )
    created_at: str = Field(description="When it was created.")
    updated_at: str = Field(description="When it last changed.")
    completed_at: str | None = Field(None, description="When it ended.")


def document(batch: Batch) -> BatchDocument:
    """Return ``batch``, which carries its items, as the plan writes it."""
    progress = batch.progress
    return BatchDocument(
        batch_id=batch.batch_id,
        status=_BATCH_STATUS.get(batch.state, "processing"),
        total_videos=progress.total,
        completed=progress.succeeded,
        failed=progress.failed,
        in_progress=progress.fetching + progress.transcribing,
        progress_percentage=_percentage(progress),
        results=[_result(item) for item in sorted(batch.items, key=position)],
        estimated_completion=_time(batch, "estimated_end_time"),
        created_at=batch.create_time.ToJsonString(),
        updated_at=batch.update_time.ToJsonString(),
        completed_at=_time(batch, "end_time"),
    )


def _percentage(progress: BatchProgress) -> float:
    ended = progress.succeeded + progress.failed + progress.cancelled + progress.skipped
    return round(100 * ended / progress.total, 2) if progress.total else 0.0


def _result(item: BatchItem) -> VideoResult:
    return VideoResult(
        video_index=item.index,
        youtube_url=item.url,
        status=ITEM_STATUS.get(item.state, "pending"),
        transcription_id=item.transcription_id or None,
        error=item.error.message if item.state == ITEM_STATE_FAILED else None,
        processing_time=_processing_seconds(item),
        completed_at=_time(item, "end_time"),
    )


def _processing_seconds(item: BatchItem) -> float | None:
    if not (item.HasField("start_time") and item.HasField("end_time")):
        return None
    return (item.end_time.ToMilliseconds() - item.start_time.ToMilliseconds()) / 1000


def _time(message: Message, field: str) -> str | None:
    """Return the time in RFC 3339, UTC with Z; None where it is unset."""
    time: Timestamp = getattr(message, field)
    return time.ToJsonString() if message.HasField(field) else None
