"""A batch put together again from its events."""

from batchscribe.client import BatchPicture
from batchscribe.client.states import is_last
from batchscribe.v1 import batch_pb2, batch_service_pb2

from tests.scripted_gateway import Event, history


def test_each_change_is_reported_once() -> None:
    """An item comes back from ``apply`` when its state changes and not otherwise."""
    picture = BatchPicture()
    events = history(items=2)
    assert [len(picture.apply(event)) for event in events] == [2, 1, 1, 0]
    assert [len(picture.apply(event)) for event in events[1:]] == [0, 0, 0]


def test_the_picture_ends_as_the_batch_did() -> None:
    """After the last event the picture holds the final states."""
    picture = BatchPicture()
    for event in history(items=3):
        picture.apply(event)
    assert picture.batch.state == batch_pb2.BATCH_STATE_SUCCEEDED
    assert {item.transcription_id for item in picture.items.values()} == {
        "trans_0",
        "trans_1",
        "trans_2",
    }


def test_progress_is_kept_for_each_item() -> None:
    """Seconds done come from progress updates, which carry no item."""
    moved = batch_pb2.ItemProgress(item_id="item_1")
    moved.audio_processed.FromSeconds(12)
    update = batch_service_pb2.ProgressUpdate(items=[moved])
    picture = BatchPicture()
    assert picture.apply(Event(revision=3, progress_update=update)) == []
    assert picture.audio_seconds_done == {"item_1": 12.0}


def test_only_an_ended_batch_ends_the_watch() -> None:
    """Neither an item's end nor a running batch is the last event."""
    assert [is_last(event) for event in history(items=2)] == [False, False, False, True]
