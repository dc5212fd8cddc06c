"""The plan's JSON documents, and how they read in terms of the contract.

Pure. Field names and their meaning are the plan's; where it is silent, the tables below decide.
"""

from typing import Annotated

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
    BatchOptions,
    BatchProgress,
    VideoSpec,
)
from batchscribe.v1.batch_service_pb2 import CreateBatchRequest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from gateway.addresses import url_fault

_BATCH_STATUS = {
    BATCH_STATE_PENDING: "pending",
    BATCH_STATE_SUCCEEDED: "completed",
    BATCH_STATE_PARTIALLY_SUCCEEDED: "partially_failed",
    BATCH_STATE_FAILED: "failed",
    BATCH_STATE_CANCELLED: "cancelled",
}  # Every other state: "processing".

_ITEM_STATUS = {
    ITEM_STATE_FETCHING: "processing",
    ITEM_STATE_TRANSCRIBING: "processing",
    ITEM_STATE_SUCCEEDED: "success",
    ITEM_STATE_FAILED: "failed",
    ITEM_STATE_CANCELLED: "cancelled",
    ITEM_STATE_SKIPPED: "cancelled",
}  # Every other state: "pending".

# Used for a video that names no model, if it is served.
PLAN_MODEL = "base"

_MAX_INT32 = 2**31 - 1


def _webhook(url: str) -> str:
    if fault := url_fault(url):
        raise PydanticCustomError(*fault)
    return url


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:  # Half of a surrogate pair, which JSON can spell.
        raise PydanticCustomError("not_text", "This is no text: it cannot be encoded.") from None
    return value


Text = Annotated[str, AfterValidator(_text)]


class VideoRequest(BaseModel):
    """One video; without a model, "base" if it is served, else the server's default."""

    youtube_url: Text
    language: Text = "auto"
    model: Text = ""


class OptionsRequest(BaseModel):
    """How the batch runs. ``notify_webhook`` is checked, but nothing is delivered yet."""

    parallel: bool = True
    max_concurrent: Annotated[int, Field(ge=1, le=_MAX_INT32)] = 3
    continue_on_error: bool = True
    notify_webhook: Annotated[str, AfterValidator(_webhook)] | None = None


class BatchRequest(BaseModel):
    """Body of POST /api/v1/transcribe/batch."""

    videos: list[VideoRequest]
    options: OptionsRequest = OptionsRequest()


class VideoResult(BaseModel):
    """One video of a batch, whether it has ended or not."""

    video_index: int
    youtube_url: str
    status: str = Field(description="pending, processing, success, failed or cancelled")
    transcription_id: str | None = None
    error: str | None = None
    processing_time: float | None = Field(None, description="Seconds from first start to end.")
    completed_at: str | None = None


class BatchDocument(BaseModel):
    """A batch as it is now; ``results`` has every video, in the order of the request."""

    batch_id: str
    status: str = Field(
        description="pending, processing, completed, partially_failed, failed or cancelled"
    )
    total_videos: int
    completed: int
    failed: int
    in_progress: int
    progress_percentage: float = Field(description="Share of the videos that have ended.")
    results: list[VideoResult]
    estimated_completion: str | None = None
    created_at: str
    updated_at: str
    completed_at: str | None = None


def create_request(
    body: BatchRequest, served_models: frozenset[str], request_id: str
) -> CreateBatchRequest:
    """Return what the plan's request asks for; an empty model means the server's default."""
    absent = PLAN_MODEL if PLAN_MODEL in served_models else ""
    return CreateBatchRequest(
        videos=[
            VideoSpec(url=video.youtube_url, language=video.language, model=video.model or absent)
            for video in body.videos
        ],
        options=BatchOptions(
            parallel=body.options.parallel,
            max_concurrent=body.options.max_concurrent,
            continue_on_error=body.options.continue_on_error,
        ),
        request_id=request_id,
    )


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
        results=[_result(item) for item in sorted(batch.items, key=lambda item: item.index)],
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
        status=_ITEM_STATUS.get(item.state, "pending"),
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
