"""Items and batches as the model has them: what one batch decides by itself.

An item waits in one queue, or is leased, or has ended; it is placed while it takes one of its
batch's places.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from batchscribe.v1 import batch_pb2 as pb

PENDING = pb.ITEM_STATE_PENDING
SUCCEEDED = pb.ITEM_STATE_SUCCEEDED
FAILED = pb.ITEM_STATE_FAILED
CANCELLED = pb.ITEM_STATE_CANCELLED
SKIPPED = pb.ITEM_STATE_SKIPPED
# The month it is.
NOW = "now"


class Queue(Enum):
    """Where an item waits; NONE while it is leased and after its end."""

    NONE = auto()
    READY = auto()
    DELAYED = auto()
    DUE = auto()  # Delayed, and its time has come; the next claim makes it ready.


@dataclass(eq=False)
class Item:
    """One item, ``member`` as the store writes it."""

    member: str
    index: int
    site: str
    place: int = 1
    is_unresolved: bool = False
    is_cut: bool = False
    state: pb.ItemState.ValueType = PENDING
    queue: Queue = Queue.READY
    epoch: int = 0
    address: str = ""
    is_leased: bool = False
    has_expired: bool = False
    is_placed: bool = False
    is_unwanted: bool = False
    offered_to: str = ""
    alone_at: str = ""
    duration_ms: int = 0
    attempts: int = 0
    attempt_epoch: int = 0
    ended_epoch: int = 0
    expanded_epoch: int = 0
    ended_round: int = 0
    lost: int = 0
    crashes: int = 0
    suspicions: int = 0
    site_waits: int = 0
    month: str = ""

    @property
    def item_id(self) -> str:
        return self.member.partition("/")[2]

    @property
    def has_ended(self) -> bool:
        return self.state >= SUCCEEDED

    @property
    def is_delayed(self) -> bool:
        return self.queue in (Queue.DELAYED, Queue.DUE)

    @property
    def never_started(self) -> bool:
        waits = self.state == PENDING and not self.is_leased
        return waits and self.attempts == 0 and self.lost == 0

    def lease(self, address: str) -> None:
        self.epoch += 1
        self.address, self.is_leased, self.has_expired = address, True, False
        self.queue, self.is_placed, self.offered_to = Queue.NONE, True, ""

    def count_attempt(self) -> None:
        self.attempts += self.attempt_epoch != self.epoch
        self.attempt_epoch = self.epoch

    def uncount_attempt(self) -> None:
        if self.attempt_epoch == self.epoch:
            self.attempts, self.attempt_epoch = self.attempts - 1, 0

    def end_lease(self) -> None:
        self.is_leased, self.alone_at = False, ""

    def undo_attempt(self) -> None:
        self.uncount_attempt()
        self.end_lease()
        self.state = PENDING

    def start_over(self) -> None:
        """Be as new for another round; the epoch goes on and the length stays known."""
        self.state, self.queue, self.is_unwanted = PENDING, Queue.READY, False
        self.attempts = self.lost = self.crashes = self.suspicions = self.site_waits = 0


@dataclass(eq=False)
class Batch:
    """A batch; ``turn`` orders those of a user that can start an item, None while it cannot."""

    user: str
    batch_id: str
    items: list[Item]
    max_concurrent: int
    is_serial: bool
    continue_on_error: bool
    keep_ms: int
    weight: float
    max_total: int | None
    most_videos: int | None
    month: str = NOW
    state: pb.BatchState.ValueType = pb.BATCH_STATE_PENDING
    round: int = 1
    is_cancelled: bool = False
    has_started: bool = False
    turn: int | None = None

    @property
    def name(self) -> str:
        """The batch as a member of an index over all users."""
        return f"{self.user}/{self.batch_id}"

    @property
    def has_ended(self) -> bool:
        return self.state >= pb.BATCH_STATE_SUCCEEDED

    @property
    def audio(self) -> list[int]:
        """The known, the ended unknown, the ended and the done: as Tally has them."""
        known = [item.duration_ms for item in self.items if item.duration_ms]
        ended = [item.duration_ms for item in self.items if item.has_ended]
        done = [
            item.duration_ms
            for item in self.items
            if item.state == SUCCEEDED and item.ended_round == self.round
        ]
        return [len(known), sum(known), ended.count(0), sum(ended), sum(done)]

    @property
    def unresolved(self) -> int:
        return sum(item.is_unresolved and not item.has_ended for item in self.items)

    @property
    def placed(self) -> int:
        return sum(item.is_placed for item in self.items)

    @property
    def is_runnable(self) -> bool:
        is_ready = any(item.queue is Queue.READY for item in self.items)
        return is_ready and self.placed < self.max_concurrent

    def next_item(self, waiting_sites: Collection[str]) -> Item | None:
        """The one item of this batch that may start now: nothing overtakes in a serial batch."""
        if not self.is_runnable:
            return None
        ready = [item for item in self.items if item.queue is Queue.READY]
        if self.is_serial:
            candidates = ready[:1]
        else:  # What may be a playlist goes first.
            candidates = sorted(ready, key=lambda item: not item.is_unresolved)
        return next((item for item in candidates if item.site not in waiting_sites), None)

    def start(self) -> None:
        self.has_started = True
        if self.state == pb.BATCH_STATE_PENDING:
            self.state = pb.BATCH_STATE_RUNNING

    def requeue(self, item: Item, *, is_delayed: bool) -> None:
        item.queue = Queue.DELAYED if is_delayed else Queue.READY
        item.is_placed = is_delayed and self.is_serial
        item.offered_to = item.alone_at = ""

    def offer(self, item: Item) -> None:
        item.queue, item.offered_to = Queue.DELAYED, item.address

    @property
    def room(self) -> int:
        """How many videos may come in the place of a playlist."""
        return (self.max_total or 0) - len(self.items) + 1

    def expand(self, playlist: Item, videos: Sequence[tuple[str, int]]) -> None:
        """Put videos, each with its site and length, in the place of a playlist."""
        room = self.room
        playlist.end_lease()
        playlist.start_over()
        playlist.is_unresolved, playlist.is_cut = False, len(videos) > room
        playlist.site, playlist.duration_ms = videos[0]
        playlist.expanded_epoch = playlist.epoch
        self.requeue(playlist, is_delayed=False)
        at = self.items.index(playlist) + 1
        self.items[at:at] = [
            Item(f"{playlist.member}_{place}", playlist.index, site, place, duration_ms=duration_ms)
            for place, (site, duration_ms) in enumerate(videos[1:room], start=2)
        ]
        if any(item.state == FAILED for item in self.items):
            self.skip_unstarted()

    def end_item(self, item: Item, state: pb.ItemState.ValueType) -> None:
        item.end_lease()
        item.state, item.ended_round, item.month = state, self.round, self.month
        item.queue, item.is_placed, item.offered_to = Queue.NONE, False, ""
        self.end_if_done()

    def settle_item(self, item: Item, state: pb.ItemState.ValueType) -> None:
        """End an item and draw the consequences."""
        is_failure = state == FAILED and not item.is_unwanted
        self.end_item(item, CANCELLED if state == FAILED and item.is_unwanted else state)
        if is_failure:
            self.skip_unstarted()

    def skip_unstarted(self) -> None:
        """Skip what has not started, after a failure, unless the batch goes on."""
        for item in self.items if not self.continue_on_error else ():
            if item.never_started:
                self.end_item(item, SKIPPED)

    def end_if_done(self) -> None:
        if self.has_ended or not all(item.has_ended for item in self.items):
            return
        states = {item.state for item in self.items}
        if self.is_cancelled and CANCELLED in states:
            self.state = pb.BATCH_STATE_CANCELLED
        elif SUCCEEDED not in states:
            self.state = pb.BATCH_STATE_FAILED
        else:
            some = pb.BATCH_STATE_PARTIALLY_SUCCEEDED
            self.state = pb.BATCH_STATE_SUCCEEDED if states == {SUCCEEDED} else some

    def cancel(self, items: Sequence[Item]) -> None:
        """Cancel some items, or the batch if none are named."""
        if self.has_ended:
            return
        self.is_cancelled |= not items
        for item in items or self.items:
            if item.is_leased:
                item.is_unwanted = True
            elif not item.has_ended:
                self.end_item(item, CANCELLED)
        if not items and not self.has_ended:
            self.state = pb.BATCH_STATE_CANCELLING

    @property
    def can_be_retried(self) -> bool:
        failed = (item.state in (FAILED, SKIPPED) for item in self.items)
        return self.has_ended and any(failed)

    def retry(self) -> None:
        """Start a new round."""
        self.round, self.month = self.round + 1, NOW
        self.state = pb.BATCH_STATE_PENDING
        self.is_cancelled = self.has_started = False
        for item in self.items:
            if item.state in (FAILED, SKIPPED):
                item.start_over()

    def give_up(self) -> None:
        """End what has not ended: the batch's deadline has passed."""
        for item in self.items:
            if not item.has_ended:
                self.end_item(item, FAILED)
