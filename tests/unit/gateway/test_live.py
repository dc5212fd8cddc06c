"""What transcribers report, put together by batch."""

from batchscribe.transcriber.v1.transcriber_service_pb2 import TaskStatus

from gateway.live import LiveProgress


def task(item_id: str, processed_ms: int, epoch: int = 1) -> TaskStatus:
    status = TaskStatus(task_id=item_id, epoch=epoch)
    status.audio_duration.FromMilliseconds(10_000)
    status.audio_processed.FromMilliseconds(processed_ms)
    return status


def test_audio_of_a_batch_is_the_sum_over_transcribers() -> None:
    """Running items of one batch add up wherever they run; other batches do not."""
    live = LiveProgress()
    live.report("one", [task("item_a_0", 1000), task("item_b_0", 9000)])
    live.report("two", [task("item_a_1", 2000)])
    assert live.processed_ms("batch_a") == 3000


def test_highest_epoch_counts_and_audio_never_falls() -> None:
    """A zombie's report changes nothing, and a new attempt starts where the old one was seen."""
    live = LiveProgress()
    live.report("one", [task("item_a_0", 5000, epoch=1)])
    live.report("two", [task("item_a_0", 100, epoch=2)])
    live.report("one", [task("item_a_0", 6000, epoch=1)])
    assert live.processed_ms("batch_a") == 5000


def test_ended_item_is_not_counted_while_still_reported() -> None:
    """What has ended is in the stored counts; its transcriber's echo is ignored until it stops."""
    live = LiveProgress()
    live.report("one", [task("item_a_0", 5000)])
    live.end(["item_a_0"])
    live.report("one", [task("item_a_0", 5000)])
    assert live.processed_ms("batch_a") == 0
    live.report("one", [])
    live.report("one", [task("item_a_0", 100, epoch=2)])
    assert live.processed_ms("batch_a") == 100, "a new round may run it again"


def test_lost_transcriber_takes_its_items_along() -> None:
    """Items of a transcriber that is gone are no longer running."""
    live = LiveProgress()
    live.report("one", [task("item_a_0", 5000)])
    live.lose("one")
    assert live.of_batch("batch_a") == {}


def test_a_task_that_is_no_item_is_left_out() -> None:
    """What somebody has a transcriber do by hand neither counts nor harms."""
    live = LiveProgress()
    live.report("one", [task("by hand", 1000), task("item_a_0", 2000), task("item_", 1)])
    assert live.processed_ms("batch_a") == 2000
