"""Which rows share a batch, and whose turn it is."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from transcriber.engine.batching import RowQueue

MOST_ROWS = 4


@dataclass(frozen=True)
class Row:
    """``number`` counts the rows of its task."""

    task: str
    number: int
    group: str = "same"


def _queue(*rows: Row) -> RowQueue[Row]:
    queue: RowQueue[Row] = RowQueue(lambda row: MOST_ROWS)
    for row in rows:
        queue.add(row)
    return queue


def test_tasks_take_turns() -> None:
    """A long file that came first leaves room for a short one in the very next batch."""
    queue = _queue(*(Row("long", n) for n in range(9)), Row("short", 0))
    assert Row("short", 0) in queue.take()


def test_a_waiting_group_is_not_starved() -> None:
    """Who was not served is first in the next batch, whatever comes in meanwhile."""
    queue = _queue(*(Row("long", n) for n in range(4)), Row("other", 0, "full axis"))
    queue.take()
    for number in range(4, 9):
        queue.add(Row("long", number))
    assert queue.take() == [Row("other", 0, "full axis")]


def test_idle_workers_share_what_there_is() -> None:
    """Half of the rows are left to the other worker, who has nothing else to do."""
    queue = _queue(*(Row("file", n) for n in range(4)))
    assert [len(queue.take(2)), len(queue.take(1))] == [2, 2]


def test_dropped_rows_do_not_come() -> None:
    """A task that is cancelled leaves at once; the others stay."""
    queue = _queue(Row("gone", 0), Row("here", 0), Row("gone", 1))
    queue.drop("gone")
    assert (queue.take(), queue.take(), len(queue)) == ([Row("here", 0)], [], 0)


@given(st.data())
def test_every_row_comes_once_or_is_dropped(data: st.DataObject) -> None:
    """However additions, batches and cancels interleave, no row is lost or decoded twice."""
    queue = _queue()
    added: dict[str, int] = {}
    waiting: set[Row] = set()
    for _ in range(data.draw(st.integers(0, 40))):
        step = data.draw(st.sampled_from(["add", "add", "take", "drop"]))
        task = data.draw(st.sampled_from("abc"))
        if step == "add":
            row = Row(task, added.get(task, 0), data.draw(st.sampled_from(["x", "y"])))
            added[task] = row.number + 1
            queue.add(row)
            waiting.add(row)
        elif step == "drop":
            queue.drop(task)
            waiting = {row for row in waiting if row.task != task}
        else:
            batch = queue.take(data.draw(st.integers(1, 3)))
            assert len({row.group for row in batch}) <= 1
            assert len(batch) <= MOST_ROWS
            assert len(set(batch)) == len(batch)
            assert bool(batch) == bool(waiting)
            assert set(batch) <= waiting
            waiting -= set(batch)
        assert len(queue) == len(waiting)
