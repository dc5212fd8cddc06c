"""A batch written as the plan's document."""

from typing import Any

import pytest
from batchscribe.v1 import batch_pb2
from batchscribe.v1.batch_pb2 import Batch, BatchItem, BatchProgress, ItemError
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.document import document

# As the plan prints it.
PLAN_RESPONSE: dict[str, Any] = {
    "batch_id": "batch_abc123xyz",
    "status": "completed",
    "total_videos": 2,
    "completed": 2,
    "failed": 0,
    "in_progress": 0,
    "results": [
        {
            "video_index": 0,
            "youtube_url": "https://youtube.com/watch?v=abc123",
            "status": "success",
            "transcription_id": "trans_123",
            "processing_time": 45.2,
            "completed_at": "2025-10-21T15:26:30Z",
        },
        {
            "video_index": 1,
            "youtube_url": "https://youtube.com/watch?v=def456",
            "status": "success",
            "transcription_id": "trans_124",
            "processing_time": 52.8,
            "completed_at": "2025-10-21T15:27:15Z",
        },
    ],
    "progress_percentage": 100,
    "estimated_completion": None,
    "completed_at": "2025-10-21T15:27:15Z",
}


def at(text: str) -> Timestamp:
    time = Timestamp()
    time.FromJsonString(text)
    return time


def succeeded(index: int, url: str, start: str, end: str) -> BatchItem:
    return BatchItem(
        index=index,
        url=url,
        state=batch_pb2.ITEM_STATE_SUCCEEDED,
        transcription_id=f"trans_12{3 + index}",
        start_time=at(start),
        end_time=at(end),
    )


def test_the_plans_response_is_written_field_for_field() -> None:
    """A finished batch, its items in any order, gives the plan's own response."""
    first, second = (result["youtube_url"] for result in PLAN_RESPONSE["results"])
    batch = Batch(
        batch_id="batch_abc123xyz",
        state=batch_pb2.BATCH_STATE_SUCCEEDED,
        progress=BatchProgress(total=2, succeeded=2),
        end_time=at("2025-10-21T15:27:15Z"),
        items=[
            succeeded(1, second, "2025-10-21T15:26:22.200Z", "2025-10-21T15:27:15Z"),
            succeeded(0, first, "2025-10-21T15:25:44.800Z", "2025-10-21T15:26:30Z"),
        ],
    )
    written = document(batch).model_dump()
    for result in written["results"]:
        assert result.pop("error") is None
    assert PLAN_RESPONSE.items() <= {**written, "results": written["results"]}.items()
    assert written.keys() - PLAN_RESPONSE.keys() == {"created_at", "updated_at"}


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("PENDING", "pending"),
        ("RUNNING", "processing"),
        ("CANCELLING", "processing"),
        ("SUCCEEDED", "completed"),
        ("PARTIALLY_SUCCEEDED", "partially_failed"),
        ("FAILED", "failed"),
        ("CANCELLED", "cancelled"),
    ],
)
def test_batch_states_have_the_plans_words(state: str, status: str) -> None:
    """Every state of a batch reads as one of the plan's words."""
    batch = Batch(state=batch_pb2.BatchState.Value(f"BATCH_STATE_{state}"))
    assert document(batch).status == status


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("PENDING", "pending"),
        ("WAITING_RETRY", "pending"),
        ("FETCHING", "processing"),
        ("TRANSCRIBING", "processing"),
        ("SUCCEEDED", "success"),
        ("FAILED", "failed"),
        ("SKIPPED", "cancelled"),
        ("CANCELLED", "cancelled"),
    ],
)
def test_item_states_have_the_plans_words(state: str, status: str) -> None:
    """Every state of an item reads as one of the plan's words, or as "cancelled"."""
    item = BatchItem(state=batch_pb2.ItemState.Value(f"ITEM_STATE_{state}"))
    assert document(Batch(items=[item])).results[0].status == status


def test_every_state_was_tried() -> None:
    """The two tables above name every state but UNSPECIFIED."""
    assert len(batch_pb2.BatchState.keys()) == 7 + 1
    assert len(batch_pb2.ItemState.keys()) == 8 + 1


def test_only_a_failed_video_has_an_error() -> None:
    """A failed video gives its sentence; one that waits for a retry is only pending."""
    error = ItemError(reason="NO_AUDIO", message="The file has no audio.")
    states = (batch_pb2.ITEM_STATE_FAILED, batch_pb2.ITEM_STATE_WAITING_RETRY)
    items = [BatchItem(index=at, state=state, error=error) for at, state in enumerate(states)]
    results = document(Batch(items=items)).results
    assert [result.error for result in results] == ["The file has no audio.", None]


def test_progress_counts_every_ended_video() -> None:
    """The percentage counts failed, cancelled and skipped videos as ended."""
    progress = BatchProgress(
        total=6, succeeded=1, failed=1, cancelled=1, skipped=1, fetching=1, transcribing=1
    )
    written = document(Batch(progress=progress))
    assert written.progress_percentage == 66.67
    assert (written.completed, written.failed, written.in_progress) == (1, 1, 2)
