"""The judgement itself, on logs made by hand, and the repeatable plan."""

from collections import Counter

import pytest
from batchscribe.v1.batch_pb2 import Batch, BatchItem, BatchState, ItemState

from gateway.store import StoredEvent, Tally
from tests.chaos.invariants import gaps, is_in_order, key_kind, second_ends
from tests.chaos.monkey import Act, Target, plan

EMPTY = Tally(*([0] * 15))
PENDING, SUCCEEDED = ItemState.ITEM_STATE_PENDING, ItemState.ITEM_STATE_SUCCEEDED
AT_WORK = ItemState.ITEM_STATE_TRANSCRIBING
RUNNING, ENDED = BatchState.BATCH_STATE_RUNNING, BatchState.BATCH_STATE_SUCCEEDED


def log_of(*changes: Batch | BatchItem) -> list[StoredEvent]:
    return [StoredEvent(n, 0, EMPTY, change) for n, change in enumerate(changes, start=1)]


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [([1, 2, 3], 0), ([1, 3], 1), ([1, 2, 2, 3], 1), ([2, 1, 3], 1), ([], 3)],
)
def test_gaps(revisions: list[int], expected: int) -> None:
    """Every revision that is missing, repeated or out of order is a gap."""
    assert gaps(revisions, 1, 3) == expected


def test_an_item_that_moves_after_its_end_is_doubled() -> None:
    """A second end counts, and so does a return to the queue."""
    ended, back = BatchItem(item_id="i", state=SUCCEEDED), BatchItem(item_id="i", state=PENDING)
    assert second_ends(log_of(ended)) == 0
    assert second_ends(log_of(ended, ended)) == 1
    assert second_ends(log_of(ended, back)) == 1


def test_a_new_round_may_end_an_item_again() -> None:
    """After the batch has begun anew its items may end once more."""
    item = BatchItem(item_id="i", state=SUCCEEDED)
    log = log_of(item, Batch(state=ENDED), Batch(state=RUNNING), item, Batch(state=ENDED))
    assert second_ends(log) == 0


def test_a_serial_batch_runs_in_order_round_by_round() -> None:
    """An item at work behind a later one is out of order; a new round starts from the front."""
    first, second = (BatchItem(item_id=f"i{n}", index=n, state=AT_WORK) for n in range(2))
    again = Batch(state=BatchState.BATCH_STATE_PENDING)
    assert is_in_order(log_of(first, first, second, again, first))
    assert not is_in_order(log_of(second, first))


def test_keys_are_known_by_their_table() -> None:
    """A key that follows no template of the store's table is a stranger."""
    assert key_kind("{bs}:u:ann:batch:batch_1") == "batch"
    assert key_kind("{bs}:leases") == "leases"
    assert key_kind("torn") is None


def test_a_seed_always_plans_the_same() -> None:
    """Equal seeds give equal plans, each with a kill of every kind in every four faults."""
    faults = plan(7, 100.0, 5.0)
    assert faults == plan(7, 100.0, 5.0) != plan(8, 100.0, 5.0)
    kills = [fault for fault in faults if fault.act in (Act.KILL, Act.CUT_POWER)]
    assert Counter(kill.target for kill in kills) == Counter(dict.fromkeys(Target, 5))
