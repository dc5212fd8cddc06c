"""The store and its model, asked the same and compared.

Redis's clock cannot be moved, so where time matters the scores that stand for it are written.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import Playlist, TranscribeRequest
from batchscribe.v1 import batch_pb2 as pb

from gateway import ids, playlists
from gateway.errors import NotFound, QuotaExceeded, WrongState
from gateway.store import (
    Allowance,
    BatchStore,
    Lease,
    NewBatch,
    Release,
    Renewal,
    Vacancy,
    connect,
    keys,
)
from tests.store_model import stored
from tests.store_model.batch import FAILED, NOW, SKIPPED, SUCCEEDED, Batch, Item, Queue
from tests.store_model.model import Model, Waits
from tests.store_model.watcher import Watcher

LONG_AGO, FAR_AWAY = 1, 9_999_999_999_999
# Enough slots and tries for whatever a test has left over.
PLENTY = 100


@dataclass(frozen=True)
class Shape:
    """A batch to create, an item for each site; with ``max_total`` they may be playlists."""

    user: str
    sites: Sequence[str]
    weight: float
    keep_ms: int
    max_concurrent: int
    is_serial: bool
    continue_on_error: bool
    max_total: int | None = None
    most_videos: int | None = None

    def new_batch(self, number: int) -> NewBatch:
        options = pb.BatchOptions(
            parallel=not self.is_serial,
            continue_on_error=self.continue_on_error,
            max_concurrent=self.places,
            notify_webhook="http://hook.test/",
        )
        batch = pb.Batch(batch_id=f"batch_{number:024x}", options=options)
        items = [_new_item(batch.batch_id, index, site) for index, site in enumerate(self.sites)]
        return NewBatch(
            batch,
            items,
            request_id=f"r{number}",
            keep_ms=self.keep_ms,
            weight=self.weight,
            max_total=self.max_total,
            allowance=self.allowance,
        )

    @property
    def allowance(self) -> Allowance:
        return Allowance(monthly_videos=self.most_videos)

    @property
    def places(self) -> int:
        return 1 if self.is_serial else self.max_concurrent


def _new_item(batch_id: str, index: int, site: str) -> tuple[pb.BatchItem, TranscribeRequest]:
    item_id = ids.item_id(batch_id, index)
    url = f"http://{site}/{index}"
    item = pb.BatchItem(item_id=item_id, index=index, url=url)
    return item, TranscribeRequest(task_id=item_id, url=url)


class Pair:
    """``leases`` holds every lease there ever was, ``claims`` every answer by its op_id."""

    def __init__(self, url: str) -> None:
        self.redis = connect(url)
        self.store = BatchStore(self.redis)
        self.model = Model()
        self.leases: list[Lease] = []
        self.claims: list[tuple[str, list[Lease]]] = []
        self.watchers: dict[str, Watcher] = {}
        self.boots = 0
        self.months = 0

    async def commands(self, *commands: stored.Command) -> list[Any]:
        return await stored.run_all(self.redis, commands)

    def is_stale(self, lease: Lease) -> bool:
        return self.model.is_stale(lease.member, lease.epoch)

    @property
    def held(self) -> list[Lease]:
        return [lease for lease in self.leases if not self.is_stale(lease)]

    async def check(self) -> None:
        """Compare everything that can be seen."""
        batches = self.model.batches.values()
        await asyncio.gather(
            *(stored.check_batch(self.store, b, self.watchers[b.batch_id]) for b in batches)
        )
        await stored.check_all(self.redis, self.model)

    # -- batches --------------------------------------------------------------------------------

    async def create(self, shape: Shape) -> None:
        new = shape.new_batch(len(self.watchers))
        batch = self.batch_of(shape, new)
        if self.model.exceeds(batch, len(batch.items)):
            with pytest.raises(QuotaExceeded):
                await self.store.create(shape.user, new)
            return
        for _ in range(2):
            assert await self.store.create(shape.user, new) == batch.batch_id
        self.watchers[batch.batch_id] = Watcher({i.item_id: i.state for i in batch.items})
        self.model.create(batch)

    def batch_of(self, shape: Shape, new: NewBatch) -> Batch:
        items = [
            Item(
                f"{shape.user}/{item.item_id}",
                item.index,
                site,
                is_unresolved=shape.max_total is not None,
            )
            for (item, _), site in zip(new.items, shape.sites, strict=True)
        ]
        return Batch(
            shape.user,
            new.batch.batch_id,
            items,
            shape.places,
            shape.is_serial,
            shape.continue_on_error,
            shape.keep_ms,
            shape.weight,
            shape.max_total,
            shape.most_videos,
        )

    async def cancel(self, batch: Batch, items: Sequence[Item]) -> None:
        names = [item.item_id for item in items]
        with pytest.raises(NotFound):
            await self.store.cancel(batch.user, batch.batch_id, [*names, "item_unknown"])
        await self.store.cancel(batch.user, batch.batch_id, names)
        batch.cancel(items)
        self.model.settle()

    async def retry(self, batch: Batch) -> None:
        if not batch.can_be_retried:
            with pytest.raises(WrongState):
                await self.store.retry(batch.user, batch.batch_id)
            return
        again = sum(item.state in (FAILED, SKIPPED) for item in batch.items)
        allowance = Allowance(monthly_videos=batch.most_videos)
        if self.model.exceeds(replace(batch, month=NOW), again):
            with pytest.raises(QuotaExceeded):
                await self.store.retry(batch.user, batch.batch_id, allowance)
            return
        await self.store.retry(batch.user, batch.batch_id, allowance)
        batch.retry()
        self.model.settle()

    async def delete(self, batch: Batch) -> None:
        if not batch.has_ended:
            with pytest.raises(WrongState):
                await self.store.delete(batch.user, batch.batch_id)
            return
        await self.store.delete(batch.user, batch.batch_id)
        self.model.delete(batch)

    # -- claims ---------------------------------------------------------------------------------

    async def claim(self, address: str, slots: int, free: int) -> None:
        await self.claim_all([Vacancy(address, slots, free)])

    async def claim_all(self, vacancies: Sequence[Vacancy]) -> None:
        await self.hold_time()
        op_id = f"op{len(self.claims)}"
        leases = await self.store.claim(op_id, vacancies)
        assert await self.store.claim(op_id, vacancies) == leases
        self.claims.append((op_id, leases))
        self.leases += leases
        answer = [(lease.address, lease.member) for lease in leases]
        waits = await self.waits([vacancy.address for vacancy in vacancies])
        self.model.claim(vacancies, answer, waits)
        for lease in leases:
            _, item = self.model.find(lease.member)
            assert (lease.epoch, lease.attempts) == (item.epoch, item.attempts)
            assert (lease.unresolved is not None) == item.is_unresolved

    async def claim_again(self, op_id: str, leases: list[Lease]) -> None:
        """Replay a claim of long ago; an empty answer is not kept."""
        if leases:
            again = await self.store.claim(op_id, [Vacancy("w1", PLENTY, PLENTY)])
            assert again == leases

    async def waits(self, addresses: Sequence[str]) -> Waits:
        delayed, *kept_for = await self.commands(
            ("ZRANGE", keys.key("delayed"), 0, -1),
            *(("GET", keys.key("alone", address)) for address in addresses),
        )
        named = zip(addresses, kept_for, strict=True)
        return Waits(
            {address: member.decode() for address, member in named if member},
            frozenset(member.decode() for member in delayed),
        )

    # -- writes under a lease -------------------------------------------------------------------

    async def stage(self, lease: Lease, state: pb.ItemState.ValueType, duration_ms: int) -> None:
        expected = self.model.stage(lease.member, lease.epoch, state, duration_ms)
        for _ in range(2):
            assert await self.store.stage(lease, "w", state, "", duration_ms) == expected

    async def expand(self, lease: Lease, videos: Sequence[tuple[str, int]]) -> None:
        """Find a playlist of videos, each with its site and length in ms."""
        playlist = Playlist()
        for site, duration_ms in videos:
            entry = playlist.entries.add(url=f"http://{site}/")
            entry.duration.FromMilliseconds(duration_ms)
        shown = lease.unresolved or pb.BatchItem(item_id=lease.item_id)
        entries = list(playlists.entries(shown, lease.request, playlist))
        expected = self.model.expand(lease.member, lease.epoch, videos)
        for answer in (expected, self.model.was_expanded(lease.member, lease.epoch)):
            assert await self.store.expand(lease, entries, is_cut=False) == answer

    async def renew(self, leases: Sequence[Lease]) -> None:
        expected = [self.model.renew(lease.member, lease.epoch) for lease in leases]
        assert await self.store.renew(leases) == [Renewal(answer) for answer in expected]

    async def finish(
        self, lease: Lease, state: pb.ItemState.ValueType, duration_ms: int = 0
    ) -> None:
        expected = self.model.finish(lease.member, lease.epoch, state, duration_ms)
        outcome = pb.BatchItem(transcription_id=ids.transcription_id(lease.item_id, lease.epoch))
        for _ in range(2):
            answer = await self.store.finish(lease, state, outcome, duration_ms=duration_ms)
            assert answer == expected

    async def release(self, lease: Lease, kind: Release, delay_ms: int = 0) -> None:
        boot = f"boot{self.boots}"
        expected = self.model.release(lease.member, lease.epoch, kind, delay_ms, boot)
        for answer in (expected, False):
            call = self.store.release(lease, kind, delay_ms=delay_ms, boot_id=boot)
            assert await call == answer

    async def write_late(self, lease: Lease) -> None:
        """Try every write under a lease that does not hold any more."""
        await self.stage(lease, pb.ITEM_STATE_TRANSCRIBING, 1000)
        await self.finish(lease, SUCCEEDED)
        await self.expand(lease, [("a.test", 1000)])
        for kind in Release:
            await self.release(lease, kind)

    async def vanish(self, address: str) -> None:
        """End a transcriber's run without a word."""
        gone = {item.member for item in self.model.leased_to(address)}
        for lease in [lease for lease in self.held if lease.member in gone]:
            await self.release(lease, Release.LOST)
        await self.blame()

    async def blame(self) -> None:
        """Suspect the items that were LOST since the last blame."""
        boot = f"boot{self.boots}"
        self.boots += 1
        assert await self.store.blame(boot) == self.model.blame(boot)

    # -- months ---------------------------------------------------------------------------------

    async def turn_month(self) -> None:
        """Let all that is booked in this month be of one that has ended."""
        self.months += 1
        now, past = stored.this_month(), f"2001-{self.months:02d}"
        renames = [
            ("RENAME", keys.key("usage", user, now), keys.key("usage", user, past))
            for user in {user for user, month, _ in self.model.books if month == NOW}
        ]
        moves: list[stored.Command] = [
            ("HSET", keys.key("batch", batch.user, batch.batch_id), "month", past)
            for batch in self.model.batches.values()
            if batch.month == NOW
        ]
        await self.commands(*renames, *moves)
        self.model.turn_month(past)

    # -- time -----------------------------------------------------------------------------------

    async def hold_time(self) -> None:
        """Keep what waits from becoming due while we look."""
        delayed = [item.member for item in self.model.items if item.queue is Queue.DELAYED]
        await self.commands(
            *(("ZADD", keys.key("delayed"), "XX", FAR_AWAY, member) for member in delayed)
        )

    async def let_time_pass(self) -> None:
        """Let every wait end, and every transcriber be kept for nobody."""
        for item in self.model.items:
            await self.commands(
                ("ZADD", keys.key("delayed"), "XX", LONG_AGO, item.member),
                ("HDEL", keys.key("breaker", item.site), "until_ms"),
            )
            if item.alone_at and not item.is_leased:
                await self.commands(("DEL", keys.key("alone", item.alone_at)))
        self.model.let_time_pass()

    async def run_out(self, lease: Lease) -> None:
        await self.commands(
            ("ZADD", keys.key("leases"), "XX", await self.now_ms() - 1000, lease.member)
        )
        _, item = self.model.find(lease.member)
        item.has_expired = True

    async def reap(self, late: Batch | None = None) -> None:
        """Reap, after the times of the batch ``late`` are over."""
        if late:
            await self.commands(
                ("ZADD", keys.key("deadlines"), "XX", LONG_AGO, late.name),
                ("ZADD", keys.key("expiry"), "XX", LONG_AGO, late.name),
            )
        assert await self.store.reap() == self.model.reap(late)

    async def reap_after_outage(self) -> None:
        """Nobody could renew, so nobody loses a lease."""
        await self.commands(("SET", keys.key("reaped"), LONG_AGO))
        for item in self.model.items:
            item.has_expired = False
        await self.reap()

    async def now_ms(self) -> int:
        ((seconds, micros),) = await self.commands(("TIME",))
        return int(seconds) * 1000 + int(micros) // 1000

    async def run_to_the_end(self) -> None:
        """Let one transcriber do all that is left: nothing may be stuck."""
        for _ in range(PLENTY):
            if all(batch.has_ended for batch in self.model.batches.values()):
                return
            for lease in self.held:
                await self.finish(lease, SUCCEEDED)
            await self.let_time_pass()
            await self.claim("w1", PLENTY, PLENTY)
        raise AssertionError("a batch does not end")
