"""Admission, epochs, adoption and what is kept, without any process."""

from collections.abc import Callable

import pytest
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.v1 import batch_pb2, transcript_pb2

from transcriber.tasks import (
    KEEP_SECONDS,
    Busy,
    Cancelled,
    Draining,
    StaleEpoch,
    TaskTable,
)

GOOD = contract.TranscribeResponse(transcript=transcript_pb2.Transcript(text="hello"))
BAD = contract.TranscribeResponse(error=batch_pb2.ItemError(reason="SOURCE_FETCH_FAILED"))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> TaskTable:
    return TaskTable(slots=2, clock=clock)


def test_slots_bound_what_runs(table: TaskTable) -> None:
    """A call beyond the slots is refused and leaves no trace."""
    table.admit("a", 1)
    table.admit("b", 1)
    with pytest.raises(Busy):
        table.admit("c", 1)
    assert table.running() == ["a", "b"]


def test_a_lower_epoch_is_refused(table: TaskTable) -> None:
    """A call with an epoch below the task's is stale."""
    table.admit("a", 2)
    with pytest.raises(StaleEpoch):
        table.admit("a", 1)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_later_call_adopts_running_work(table: TaskTable, epoch: int) -> None:
    """A call with the same or a higher epoch joins the work and needs no slot."""
    table.admit("a", 1)
    table.admit("b", 1)
    again = table.admit("a", epoch)
    assert not again.is_new
    assert again.task.epoch == epoch


def test_a_finished_transcript_is_adopted(table: TaskTable) -> None:
    """A transcript whose caller may have died is there for the next epoch."""
    first = table.admit("a", 1)
    table.finish("a", GOOD)
    table.deliver("a", first.caller)
    second = table.admit("a", 2)
    assert not second.is_new
    assert second.task.outcome == GOOD


def test_a_delivered_failure_is_not_adopted(table: TaskTable) -> None:
    """The attempt after a failure starts anew, and the old epoch stays refused."""
    first = table.admit("a", 2)
    table.finish("a", BAD)
    table.deliver("a", first.caller)
    assert table.admit("a", 3).is_new
    with pytest.raises(StaleEpoch):
        table.admit("a", 2)


def test_an_undelivered_failure_is_adopted(table: TaskTable) -> None:
    """A failure that its caller never saw is told to the next one."""
    first = table.admit("a", 1)
    table.leave("a", first.caller)
    table.finish("a", BAD)
    assert table.admit("a", 2).task.outcome == BAD


def test_an_orphan_keeps_its_slot_and_then_stops(table: TaskTable, clock: Clock) -> None:
    """Work without a caller goes on for a minute."""
    caller = table.admit("a", 1).caller
    table.leave("a", caller)
    clock.now = KEEP_SECONDS - 1
    assert table.sweep() == []
    assert table.running() == ["a"]
    clock.now = KEEP_SECONDS
    assert table.sweep() == ["a"]
    assert table.running() == []


def test_an_adopted_orphan_is_not_stopped(table: TaskTable, clock: Clock) -> None:
    """The displaced caller's leaving does not make an orphan of an adopted task."""
    first = table.admit("a", 1)
    table.admit("a", 2)
    table.leave("a", first.caller)
    clock.now = 10 * KEEP_SECONDS
    assert table.sweep() == []


def test_finished_work_is_forgotten_after_a_minute(table: TaskTable, clock: Clock) -> None:
    """An outcome that nobody asks for goes."""
    caller = table.admit("a", 1).caller
    table.finish("a", GOOD)
    table.deliver("a", caller)
    assert len(list(table.statuses())) == 1
    clock.now = KEEP_SECONDS
    table.sweep()
    assert list(table.statuses()) == []
    assert table.admit("a", 1).is_new


def test_kept_outcomes_have_bounded_memory(clock: Clock) -> None:
    """The oldest outcome goes when the kept ones grow too big."""
    table = TaskTable(slots=9, clock=clock, keep_bytes=2 * GOOD.ByteSize())
    for task_id in "abc":
        caller = table.admit(task_id, 1).caller
        table.leave(task_id, caller)
        table.finish(task_id, GOOD)
    assert [status.task_id for status in table.statuses()] == ["b", "c"]


def test_cancel_frees_the_slot(table: TaskTable) -> None:
    """Cancelling running work says that it has to be stopped."""
    table.admit("a", 1)
    assert table.cancel("a", 1)
    assert table.running() == []
    assert list(table.statuses()) == []


@pytest.mark.parametrize(
    "start", [lambda table: table.admit("a", 2), lambda table: None], ids=["running", "unknown"]
)
def test_a_cancelled_epoch_stays_cancelled(
    table: TaskTable, start: Callable[[TaskTable], object]
) -> None:
    """A Transcribe that comes after its CancelTask does not start; a new attempt does."""
    start(table)
    table.cancel("a", 2)
    with pytest.raises(Cancelled):
        table.admit("a", 2)
    assert table.admit("a", 3).is_new


def test_cancel_with_a_lower_epoch_is_ignored(table: TaskTable) -> None:
    """An owner that lost its lease cannot stop the new owner's work."""
    table.admit("a", 2)
    assert not table.cancel("a", 1)
    assert table.running() == ["a"]


def test_draining_refuses_new_work_and_lets_old_be_adopted(table: TaskTable) -> None:
    """A transcriber that drains takes no task, but gives back what it has."""
    table.admit("a", 1)
    table.draining = True
    with pytest.raises(Draining):
        table.admit("b", 1)
    assert not table.admit("a", 2).is_new


def test_audio_that_is_done_stays_done(table: TaskTable) -> None:
    """Work that begins again after a crash does not take progress back, to the millisecond."""
    task = table.admit("a", 1).task
    for done_ms in (5900, 6000, 0, 3000):
        part = contract.TaskStatus()
        part.audio_processed.FromMilliseconds(done_ms)
        task.learn(part)
    assert task.status.audio_processed.ToMilliseconds() == 6000


def test_a_later_length_replaces_the_first(table: TaskTable) -> None:
    """What was decoded counts more than what was declared."""
    task = table.admit("a", 1).task
    for duration_ms in (5900, 6000):
        part = contract.TaskStatus()
        part.audio_duration.FromMilliseconds(duration_ms)
        task.learn(part)
    assert task.status.audio_duration.ToMilliseconds() == 6000
