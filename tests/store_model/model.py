"""The batch state machine as a plain model: the same transitions over dataclasses, without Redis.

It predicts every state, counter and answer. Where the store may choose (which of several equals a
claim takes, when an item is put off because its site waits) it judges the choice and follows it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from batchscribe.v1 import batch_pb2 as pb

from gateway.store import Release, Vacancy
from tests.store_model.batch import CANCELLED, FAILED, NOW, SUCCEEDED, Batch, Item, Queue
from tests.store_model.books import Books, booked, exceeds
from tests.store_model.line import Line

MAX_LOST = 2
MAX_CRASHES = 2
MAX_SUSPICIONS = 4
MAX_SITE_WAITS = 2
RUNS_ALONE = 2


@dataclass(frozen=True)
class Waits:
    """What a claim chose to let wait: items that transcribers are kept for, and those put off."""

    kept_for: Mapping[str, str]
    delayed: frozenset[str]


@dataclass
class Model:
    """All batches, and what they wait for."""

    batches: dict[str, Batch] = field(default_factory=dict)
    waiting_sites: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    suspects: dict[str, dict[Item, None]] = field(default_factory=dict)
    line: Line = field(default_factory=Line)
    gone: Books = field(default_factory=Counter)

    @property
    def items(self) -> Iterator[Item]:
        return (item for batch in self.batches.values() for item in batch.items)

    @property
    def addresses(self) -> set[str]:
        """Of every transcriber that had an item."""
        return {item.address for item in self.items if item.address}

    @property
    def books(self) -> Books:
        """What users have had; of deleted batches too."""
        return sum(map(booked, self.batches.values()), Counter(self.gone))

    def exceeds(self, batch: Batch, count: int) -> bool:
        return exceeds(self.books, batch, count)

    def turn_month(self, month: str) -> None:
        """Let ``month`` be the name of the one that ends."""
        things: Iterable[Batch | Item] = chain(self.batches.values(), self.items)
        for thing in things:
            thing.month = month if thing.month == NOW else thing.month
        renamed = ((user, month if of == NOW else of, kind) for user, of, kind in self.gone)
        self.gone = Counter(dict(zip(renamed, self.gone.values(), strict=True)))

    def leased_to(self, address: str) -> list[Item]:
        return [item for item in self.items if item.is_leased and item.address == address]

    def alone_at(self, address: str) -> Item | None:
        """The item that runs alone on a transcriber, or for which it is kept."""
        return next((item for item in self.items if item.alone_at == address), None)

    def find(self, member: str) -> tuple[Batch, Item]:
        for batch in self.batches.values():
            for item in batch.items:
                if item.member == member:
                    return batch, item
        raise AssertionError(f"the store names {member}, which there is not")

    def settle(self) -> None:
        """Draw the consequences for who waits; after every change."""
        self.line.settle(self.batches.values())

    def startable(self) -> list[tuple[Batch, Item]]:
        """What may start now, of each batch its first."""
        found = ((batch, batch.next_item(self.waiting_sites)) for batch in self.batches.values())
        return [(batch, item) for batch, item in found if item]

    def create(self, batch: Batch) -> None:
        self.batches[batch.batch_id] = batch
        self.users.add(batch.user)
        self.settle()

    def delete(self, batch: Batch) -> None:
        self.gone += booked(self.batches.pop(batch.batch_id))
        self.settle()

    # -- claims ---------------------------------------------------------------------------------

    def claim(
        self, vacancies: Sequence[Vacancy], answer: Sequence[tuple[str, str]], waits: Waits
    ) -> None:
        """Judge and follow the answer to a claim: addresses and members in order."""
        adopted = self.adopt({vacancy.address for vacancy in vacancies}, answer)
        self.promote()
        free = {vacancy.address: self.free_at(vacancy) for vacancy in vacancies}
        for address in free:
            if free[address] > 0:
                self.give_free(address)
        for address, member in answer[adopted:]:
            others = [free[other] for other in free if other not in waits.kept_for]
            assert free[address] >= max([1, *others]), "it has no free slot, or another has more"
            self.start(address, member, waits)
            free[address] -= 1
        self.keep(waits)
        self.put_off(waits.delayed)
        if any(free[address] > 0 and not self.alone_at(address) for address in free):
            assert not self.startable(), "more could have started"

    def free_at(self, vacancy: Vacancy) -> int:
        return min(vacancy.free, vacancy.slots - len(self.leased_to(vacancy.address)))

    def adopt(self, addresses: Collection[str], answer: Sequence[tuple[str, str]]) -> int:
        """Lease what is offered to transcribers; return how many of ``answer`` these are."""
        offered = [item for item in self.items if item.offered_to in addresses]
        expected = {(item.offered_to, item.member) for item in offered}
        assert expected == set(answer[: len(offered)])
        for item in offered:
            item.lease(item.offered_to)
        self.settle()
        return len(offered)

    def promote(self) -> None:
        for batch in self.batches.values():
            for item in batch.items:
                if item.queue is Queue.DUE:
                    batch.requeue(item, is_delayed=False)
        self.settle()

    def give_free(self, address: str) -> None:
        """Keep a transcriber no longer for a suspect whose site has asked to wait."""
        kept_for = self.alone_at(address)
        if kept_for and not kept_for.is_leased and kept_for.site in self.waiting_sites:
            batch, _ = self.find(kept_for.member)
            batch.requeue(kept_for, is_delayed=True)
            self.settle()

    def start(self, address: str, member: str, waits: Waits) -> None:
        """Judge and follow the start of an item."""
        batch, item = self.find(member)
        kept_for = self.alone_at(address)
        if item is not kept_for:
            assert not kept_for, "the transcriber was kept for another"
            self.keep_before(item, waits)
            assert item in self.line.first(self.startable()), "it was another's turn"
            self.line.charge(batch)
        if item.suspicions >= RUNS_ALONE:
            assert not self.leased_to(address), "a suspect starts beside another"
            item.alone_at = address
        item.lease(address)
        self.settle()

    def keep_before(self, item: Item, waits: Waits) -> None:
        """Follow the keeping of transcribers for suspects whose turn comes before an item's."""
        while item not in (first := self.line.first(self.startable())):
            suspects = [(at, who) for at, who in self.to_keep(waits) if self.find(who)[1] in first]
            if not suspects:
                return
            self.reserve(*suspects[0])

    def keep(self, waits: Waits) -> None:
        """Follow the keeping of transcribers for suspects."""
        for address, member in self.to_keep(waits):
            self.reserve(address, member)

    def to_keep(self, waits: Waits) -> list[tuple[str, str]]:
        """Return the transcribers that are not kept yet, each with its suspect."""
        return [
            (address, member)
            for address, member in waits.kept_for.items()
            if not self.alone_at(address) and not self.find(member)[1].is_leased
        ]

    def reserve(self, address: str, member: str) -> None:
        """Judge and follow the keeping of a transcriber for one suspect."""
        _, item = self.find(member)
        assert item in self.line.first(self.startable()), "it was another's turn"
        assert item.suspicions >= RUNS_ALONE
        assert self.leased_to(address), "it could have started"
        item.queue, item.is_placed, item.alone_at = Queue.DELAYED, True, address
        self.settle()

    def put_off(self, members: Collection[str]) -> None:
        """Judge and follow the waiting of items for their site."""
        for member in members:
            batch, item = self.find(member)
            if item.queue is Queue.READY:
                assert item.site in self.waiting_sites, "it was put off for nothing"
                batch.requeue(item, is_delayed=True)
        self.settle()

    # -- writes under a lease -------------------------------------------------------------------

    def is_stale(self, member: str, epoch: int) -> bool:
        held = ((item.member, item.epoch) for item in self.items if item.is_leased)
        return (member, epoch) not in held

    def stage(
        self, member: str, epoch: int, state: pb.ItemState.ValueType, duration_ms: int
    ) -> bool:
        if self.is_stale(member, epoch):
            return False
        batch, item = self.find(member)
        is_first = item.attempt_epoch != epoch
        item.count_attempt()
        item.state = state if is_first else max(state, item.state)
        item.duration_ms = duration_ms or item.duration_ms
        item.is_unresolved = False
        batch.start()
        return True

    def expand(self, member: str, epoch: int, videos: Sequence[tuple[str, int]]) -> bool:
        if self.is_stale(member, epoch):
            return self.was_expanded(member, epoch)
        batch, item = self.find(member)
        if item.is_unwanted:
            batch.end_item(item, CANCELLED)
        elif self.exceeds(batch, min(len(videos), batch.room) - 1):
            batch.settle_item(item, FAILED)
        else:
            batch.expand(item, videos)
        self.settle()
        return True

    def was_expanded(self, member: str, epoch: int) -> bool:
        return any(item.member == member and item.expanded_epoch == epoch for item in self.items)

    def renew(self, member: str, epoch: int) -> str:
        if self.is_stale(member, epoch):
            return "STALE"
        _, item = self.find(member)
        item.has_expired = False
        return "CANCEL" if item.is_unwanted else "OK"

    def finish(
        self, member: str, epoch: int, state: pb.ItemState.ValueType, duration_ms: int
    ) -> bool:
        if self.is_stale(member, epoch):
            return self.was_ended_by(member, epoch)
        batch, item = self.find(member)
        item.count_attempt()
        item.duration_ms = duration_ms or item.duration_ms
        item.ended_epoch = epoch
        batch.start()
        if state == SUCCEEDED:
            item.is_unresolved = False
            self.waiting_sites.discard(item.site)
        batch.settle_item(item, state)
        self.settle()
        return True

    def was_ended_by(self, member: str, epoch: int) -> bool:
        return any(
            item.member == member and item.has_ended and item.ended_epoch == epoch
            for item in self.items
        )

    def release(self, member: str, epoch: int, kind: Release, delay_ms: int, boot_id: str) -> bool:
        if self.is_stale(member, epoch):
            return False
        batch, item = self.find(member)
        if item.is_unwanted:
            batch.end_item(item, CANCELLED)
        elif kind in (Release.RETRY, Release.CRASH, Release.SITE):
            self.fail(batch, item, kind)
        else:
            self.hand_back(batch, item, kind, delay_ms, boot_id)
        self.settle()
        return True

    def fail(self, batch: Batch, item: Item, kind: Release) -> None:
        item.crashes += kind is Release.CRASH
        item.site_waits += kind is Release.SITE
        batch.start()
        if item.crashes >= MAX_CRASHES or item.site_waits >= MAX_SITE_WAITS:
            item.count_attempt()
            batch.settle_item(item, FAILED)
            return
        if kind is Release.SITE:
            item.uncount_attempt()
            self.waiting_sites.add(item.site)
        else:
            item.count_attempt()
        item.end_lease()
        item.state = pb.ITEM_STATE_WAITING_RETRY
        batch.requeue(item, is_delayed=True)

    def hand_back(
        self, batch: Batch, item: Item, kind: Release, delay_ms: int, boot_id: str
    ) -> None:
        item.lost += kind is not Release.BACK
        item.undo_attempt()
        if kind is Release.OVER:
            batch.offer(item)
        else:
            batch.requeue(item, is_delayed=delay_ms > 0)
        if kind is Release.LOST:
            self.suspects.setdefault(boot_id, {})[item] = None

    # -- what happens by itself -----------------------------------------------------------------

    def reap(self, late: Batch | None = None) -> tuple[int, int]:
        """Return how many leases had run out, and how many batches ended or went."""
        had_ended = late is not None and late.has_ended
        lost = sorted(item.member for item in self.items if item.is_leased and item.has_expired)
        for member in lost:
            self.take_back(*self.find(member))
            self.settle()
        return len(lost), int(late is not None and self.end_late(late, had_ended))

    def end_late(self, batch: Batch, had_ended: bool) -> bool:
        """End a batch that is over its deadline, or delete one that is over its time."""
        if had_ended and batch.keep_ms:
            self.delete(batch)
            return True
        if batch.has_ended:
            return False
        batch.give_up()
        self.settle()
        return True

    def take_back(self, batch: Batch, item: Item) -> None:
        item.lost += 1
        if item.is_unwanted or item.lost > MAX_LOST:
            batch.settle_item(item, FAILED)
        else:
            item.undo_attempt()
            batch.offer(item)

    def blame(self, boot_id: str) -> int:
        suspects = self.suspects.pop(boot_id, {})
        for item in suspects:
            item.suspicions += not item.has_ended
            if item.suspicions >= MAX_SUSPICIONS and not item.has_ended:
                batch, _ = self.find(item.member)
                batch.settle_item(item, FAILED)
                self.settle()
        return len(suspects)

    def let_time_pass(self) -> None:
        """Let every wait end, that of the sites too; leases are renewed meanwhile."""
        self.waiting_sites.clear()
        for item in self.items:
            if item.queue is Queue.DELAYED:
                item.queue, item.alone_at = Queue.DUE, ""
        self.settle()
