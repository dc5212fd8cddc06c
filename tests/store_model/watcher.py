"""What a watcher of one batch learns from its events alone.

Revisions are dense, every tally is that of the states as told so far, and an end is final within
its round.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from batchscribe.v1 import batch_pb2 as pb

from gateway.store import ENDED_BATCH_STATES, StoredEvent, Tally


@dataclass
class Watcher:
    """One batch as told; ``states`` are those of its items by id."""

    states: dict[str, pb.ItemState.ValueType]
    batch_state: pb.BatchState.ValueType = pb.BATCH_STATE_PENDING
    round: int = 1
    revision: int = 0

    def hear(self, event: StoredEvent) -> None:
        assert event.revision == self.revision + 1
        self.revision = event.revision
        if isinstance(event.change, pb.Batch):
            self._hear_batch(event.change)
        else:
            self._hear_item(event.change)
        assert counts_of(event.tally) == counted(self.states.values())

    def _hear_batch(self, batch: pb.Batch) -> None:
        if batch.round == self.round:
            assert self.batch_state not in ENDED_BATCH_STATES, "a batch ended twice"
        else:
            assert batch.round == self.round + 1
            assert self.batch_state in ENDED_BATCH_STATES, "a round began within another"
        self.batch_state, self.round = batch.state, batch.round

    def _hear_item(self, item: pb.BatchItem) -> None:
        if item.item_id not in self.states:
            assert item.playlist.place > 1, "an item came from nowhere"
            assert item.state == pb.ITEM_STATE_PENDING
        elif self.states[item.item_id] >= pb.ITEM_STATE_SUCCEEDED:
            is_new_round = self.batch_state == pb.BATCH_STATE_PENDING and self.round > 1
            assert is_new_round, "an end was not final"
            assert item.state == pb.ITEM_STATE_PENDING
        self.states[item.item_id] = item.state


def counts_of(tally: Tally) -> list[int]:
    """Return the counts in the order of the states."""
    return [
        tally.pending,
        tally.fetching,
        tally.transcribing,
        tally.waiting_retry,
        tally.succeeded,
        tally.failed,
        tally.cancelled,
        tally.skipped,
    ]


def counted(states: Iterable[pb.ItemState.ValueType]) -> list[int]:
    """Count states, in their own order."""
    counts = Counter(states)
    return [counts[state] for state in pb.ItemState.values()[1:]]
