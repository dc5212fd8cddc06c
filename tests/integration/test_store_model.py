"""The batch store beside a model of it: whatever is asked of both, in whatever order, they agree.

Redis's clock cannot be moved, so where time matters the scores that stand for it are written back.
"""

import asyncio
import os
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1 import batch_pb2 as pb
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway import ids
from gateway.errors import NotFound, WrongState
from gateway.store import BatchStore, Lease, NewBatch, Release, connect, keys
from tests.store_model import model as limits
from tests.store_model import stored
from tests.store_model.batch import Batch, Item, Queue
from tests.store_model.model import Model, Waits
from tests.store_model.watcher import Watcher

T = TypeVar("T")

HOUR_MS = 3_600_000
LONG_AGO, FAR_AWAY = 1, 9_999_999_999_999
MOST_BATCHES = 4

users = st.sampled_from(["ann", "bob", "cyd"])
addresses = st.sampled_from(["w1", "w2"])
item_sites = st.lists(st.sampled_from(["a.test", "b.test"]), min_size=1, max_size=6)
durations = st.sampled_from([0, 2000, 3000])
# Which of several, counted from the newest.
picks = st.integers(0, 9)
stages = st.sampled_from([pb.ITEM_STATE_FETCHING, pb.ITEM_STATE_TRANSCRIBING])
ends = st.sampled_from([pb.ITEM_STATE_SUCCEEDED, pb.ITEM_STATE_FAILED, pb.ITEM_STATE_CANCELLED])
kinds = st.sampled_from(Release)
some_options = st.builds(
    pb.BatchOptions,
    parallel=st.booleans(),
    continue_on_error=st.booleans(),
    max_concurrent=st.integers(1, 3),
)


def newest(things: Sequence[T], pick: int) -> T:
    """Return one of ``things``, the last for 0."""
    return things[-1 - pick % len(things)]


def new_batch(sites: list[str], options: pb.BatchOptions, keep_ms: int, weight: float) -> NewBatch:
    batch = pb.Batch(batch_id=ids.new_batch_id(), options=options)
    items = []
    for index, site in enumerate(sites):
        item_id = ids.item_id(batch.batch_id, index)
        request = TranscribeRequest(task_id=item_id, url=f"http://{site}/{index}")
        items.append((pb.BatchItem(item_id=item_id, index=index, url=request.url), request))
    return NewBatch(batch, items, request_id=batch.batch_id, keep_ms=keep_ms, weight=weight)


class StoreMachine(RuleBasedStateMachine):
    """Asks the store and the model the same; ``leases`` holds every lease there ever was."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.redis = connect(self.url)
        self.store = BatchStore(self.redis)
        self.model = Model()
        self.leases: list[Lease] = []
        self.claims: list[tuple[str, list[Lease]]] = []
        self.boots = 0
        self.watchers: dict[str, Watcher] = {}
        self.command("FLUSHALL")
        self.started_ms = self.now_ms()

    def teardown(self) -> None:
        self.run(self.redis.aclose())
        self.runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def command(self, *command: str | int) -> Any:
        (reply,) = self.run(stored.run_all(self.redis, [command]))
        return reply

    def batch(self, pick: int) -> Batch:
        return newest(list(self.model.batches.values()), pick)

    def lease(self, pick: int) -> Lease:
        """One that holds; without one, one that is stale."""
        return newest(self.held() or self.leases, pick)

    def held(self) -> list[Lease]:
        return [lease for lease in self.leases if not self.is_stale(lease)]

    def is_stale(self, lease: Lease) -> bool:
        return self.model.is_stale(lease.member, lease.epoch)

    # -- batches --------------------------------------------------------------------------------

    @initialize(user=users)
    def begin(self, user: str) -> None:
        self.add_batch(
            user,
            1.0,
            ["a.test"] * 4,
            0,
            pb.BatchOptions(parallel=True, continue_on_error=True, max_concurrent=2),
        )

    @precondition(lambda self: len(self.model.batches) < MOST_BATCHES)
    @rule(
        user=users,
        weight=st.sampled_from([1.0, 2.0]),
        sites=item_sites,
        keep_ms=st.sampled_from([0, HOUR_MS]),
        options=some_options,
    )
    def create(
        self,
        user: str,
        weight: float,
        sites: list[str],
        keep_ms: int,
        options: pb.BatchOptions,
    ) -> None:
        self.add_batch(user, weight, sites, keep_ms, options)

    def add_batch(
        self,
        user: str,
        weight: float,
        sites: list[str],
        keep_ms: int,
        options: pb.BatchOptions,
    ) -> None:
        if not options.parallel:
            options.max_concurrent = 1
        options.notify_webhook = "http://hook.test/"
        new = new_batch(sites, options, keep_ms, weight)
        batch_id = self.run(self.store.create(user, new))
        assert self.run(self.store.create(user, new)) == batch_id, "a replay makes nothing new"
        items = [
            Item(f"{user}/{item.item_id}", item.index, site)
            for (item, _), site in zip(new.items, sites, strict=True)
        ]
        batch = Batch(
            user,
            batch_id,
            items,
            options.max_concurrent,
            not options.parallel,
            options.continue_on_error,
            keep_ms,
            weight,
        )
        self.model.create(batch)
        self.watchers[batch_id] = Watcher([item.state for item in items])

    @precondition(lambda self: self.model.batches)
    @rule(pick=picks, of=st.lists(picks, max_size=3))
    def cancel(self, pick: int, of: list[int]) -> None:
        batch = self.batch(pick)
        items = [newest(batch.items, index) for index in of]
        names = [item.member.partition("/")[2] for item in items]
        self.run(self.store.cancel(batch.user, batch.batch_id, names))
        batch.cancel(items)
        self.model.settle()

    @precondition(lambda self: self.model.batches)
    @rule(pick=picks)
    def cancel_unknown(self, pick: int) -> None:
        batch = self.batch(pick)
        names = [batch.items[0].member.partition("/")[2], "item_unknown"]
        with pytest.raises(NotFound):
            self.run(self.store.cancel(batch.user, batch.batch_id, names))

    @precondition(lambda self: self.model.batches)
    @rule(pick=picks)
    def retry(self, pick: int) -> None:
        batch = self.batch(pick)
        call = self.store.retry(batch.user, batch.batch_id)
        if batch.can_be_retried:
            self.run(call)
            batch.retry()
            self.model.settle()
        else:
            with pytest.raises(WrongState):
                self.run(call)

    @precondition(lambda self: self.model.batches)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        batch = self.batch(pick)
        call = self.store.delete(batch.user, batch.batch_id)
        if batch.has_ended:
            self.run(call)
            self.model.delete(batch)
        else:
            with pytest.raises(WrongState):
                self.run(call)

    # -- claims ---------------------------------------------------------------------------------

    @rule(address=addresses, slots=st.integers(1, 3), count=st.integers(0, 4))
    def claim(self, address: str, slots: int, count: int) -> None:
        self.hold_time()
        op_id = f"op{len(self.claims)}"
        leases = self.run(self.store.claim(op_id, address, slots, count))
        assert self.run(self.store.claim(op_id, address, slots, count)) == leases
        self.claims.append((op_id, leases))
        self.leases += leases
        self.model.claim(
            address, slots, count, [lease.member for lease in leases], self.waits(address)
        )
        for lease in leases:
            _, item = self.model.find(lease.member)
            assert (lease.epoch, lease.attempts) == (item.epoch, item.attempts)

    def waits(self, address: str) -> Waits:
        """What the store chose to let wait."""
        reserved = self.command("GET", keys.key("alone", address))
        delayed = self.command("ZRANGE", keys.key("delayed"), 0, -1)
        return Waits(
            reserved and reserved.decode(), frozenset(member.decode() for member in delayed)
        )

    @precondition(lambda self: self.claims)
    @rule(pick=picks)
    def claim_replayed_late(self, pick: int) -> None:
        op_id, leases = newest(self.claims, pick)
        if leases:
            assert self.run(self.store.claim(op_id, "w1", 9, 9)) == leases

    # -- writes under a lease -------------------------------------------------------------------

    @precondition(lambda self: self.leases)
    @rule(pick=picks, state=stages, duration_ms=durations)
    def stage(self, pick: int, state: pb.ItemState.ValueType, duration_ms: int) -> None:
        lease = self.lease(pick)
        expected = self.model.stage(lease.member, lease.epoch, state, duration_ms)
        for _ in range(2):
            assert self.run(self.store.stage(lease, "w", state, "", duration_ms)) == expected

    @precondition(lambda self: self.leases)
    @rule(of=st.lists(picks, max_size=4))
    def renew(self, of: list[int]) -> None:
        leases = [newest(self.leases, pick) for pick in of]
        expected = [self.model.renew(lease.member, lease.epoch) for lease in leases]
        assert self.run(self.store.renew(leases)) == expected

    @precondition(lambda self: self.leases)
    @rule(pick=picks, state=ends, duration_ms=durations)
    def finish(self, pick: int, state: pb.ItemState.ValueType, duration_ms: int) -> None:
        self.finish_lease(self.lease(pick), state, duration_ms)

    def finish_lease(self, lease: Lease, state: pb.ItemState.ValueType, duration_ms: int) -> None:
        expected = self.model.finish(lease.member, lease.epoch, state, duration_ms)
        outcome = pb.BatchItem(transcription_id=ids.transcription_id(lease.item_id, lease.epoch))
        for _ in range(2):
            call = self.store.finish(lease, state, outcome, duration_ms=duration_ms)
            assert self.run(call) == expected

    @precondition(lambda self: self.leases)
    @rule(pick=picks, kind=kinds, delay_ms=st.sampled_from([0, HOUR_MS]))
    def release(self, pick: int, kind: Release, delay_ms: int) -> None:
        self.release_lease(self.lease(pick), kind, delay_ms)

    def release_lease(self, lease: Lease, kind: Release, delay_ms: int) -> None:
        boot = f"boot{self.boots}"
        expected = self.model.release(lease.member, lease.epoch, kind, delay_ms, boot)
        call = self.store.release(lease, kind, delay_ms=delay_ms, boot_id=boot)
        assert self.run(call) == expected
        again = self.store.release(lease, kind, delay_ms=delay_ms, boot_id=boot)
        assert not self.run(again), "given up once"

    @precondition(lambda self: any(map(self.is_stale, self.leases)))
    @rule(pick=picks, state=ends, kind=kinds)
    def write_late(self, pick: int, state: pb.ItemState.ValueType, kind: Release) -> None:
        lease = newest([lease for lease in self.leases if self.is_stale(lease)], pick)
        self.finish_lease(lease, state, 0)
        self.release_lease(lease, kind, 0)
        assert not self.run(self.store.stage(lease, "w", pb.ITEM_STATE_FETCHING, "", 0))

    @rule(address=addresses)
    def transcriber_vanishes(self, address: str) -> None:
        gone = {item.member for item in self.model.leased_to(address)}
        for lease in [lease for lease in self.held() if lease.member in gone]:
            self.release_lease(lease, Release.LOST, 0)
        boot = f"boot{self.boots}"
        self.boots += 1
        assert self.run(self.store.blame(boot)) == self.model.blame(boot)

    # -- time -----------------------------------------------------------------------------------

    @rule()
    def let_time_pass(self) -> None:
        for item in self.model.items:
            self.command("ZADD", keys.key("delayed"), "XX", LONG_AGO, item.member)
            if item.alone_at and not item.is_leased:
                self.command("DEL", keys.key("alone", item.alone_at))
            self.command("HDEL", keys.key("breaker", item.site), "until_ms")
        self.model.let_time_pass()

    def hold_time(self) -> None:
        """Keep what is not due from becoming so while we look."""
        for item in self.model.items:
            if item.queue is Queue.DELAYED:
                self.command("ZADD", keys.key("delayed"), "XX", FAR_AWAY, item.member)

    @precondition(lambda self: any(item.is_leased for item in self.model.items))
    @rule(pick=picks)
    def lease_runs_out(self, pick: int) -> None:
        item = newest([item for item in self.model.items if item.is_leased], pick)
        self.command("ZADD", keys.key("leases"), "XX", self.started_ms, item.member)
        item.has_expired = True

    @rule()
    def reap(self) -> None:
        assert self.run(self.store.reap()) == self.model.reap()

    @rule()
    def reap_after_an_outage(self) -> None:
        """Nobody could renew, so nobody loses a lease."""
        self.command("SET", keys.key("reaped"), LONG_AGO)
        for item in self.model.items:
            item.has_expired = False
        self.reap()

    @precondition(lambda self: self.model.batches)
    @rule(pick=picks)
    def reap_late(self, pick: int) -> None:
        """A batch that is over its deadline ends, one that is over its time goes."""
        batch = self.batch(pick)
        for name in ("deadlines", "expiry"):
            self.command("ZADD", keys.key(name), "XX", LONG_AGO, batch.name)
        assert self.run(self.store.reap()) == self.model.reap(batch)

    # -- after every rule -----------------------------------------------------------------------

    @invariant()
    def readers_see_the_batches(self) -> None:
        for batch in self.model.batches.values():
            self.run(stored.check_batch(self.store, batch, self.watchers[batch.batch_id]))

    @invariant()
    def redis_holds_the_model(self) -> None:
        self.run(stored.check_items(self.redis, list(self.model.items)))
        self.run(stored.check_indexes(self.redis, self.model))
        self.run(stored.check_service(self.redis, self.model))
        self.run(stored.check_leases(self.redis, self.model, self.now_ms()))
        self.run(stored.check_keys(self.redis, self.model))

    def now_ms(self) -> int:
        seconds, micros = self.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000


@pytest.fixture
def limits_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small counts, and times so long that a slow machine does not change the outcome."""
    for name in ("LEASE_MS", "OUTAGE_MS", "OUTAGE_GRACE_MS"):
        monkeypatch.setattr(f"gateway.store.batch_store.{name}", HOUR_MS)
    for name in ("MAX_LOST", "MAX_CRASHES", "MAX_SUSPICIONS", "MAX_SITE_WAITS"):
        monkeypatch.setattr(f"gateway.store.batch_store.{name}", getattr(limits, name))


# Hypothesis bounds its own time: minutes at most, to make a failure small.
@pytest.mark.timeout(0)
@pytest.mark.usefixtures("limits_of_the_model")
def test_the_store_agrees_with_its_model(redis_url: str) -> None:
    """Whatever happens to batches in whatever order, Redis holds what the model says."""
    examples = int(os.environ.get("MODEL_EXAMPLES", "0"))
    profile = settings(
        max_examples=examples or 50,
        stateful_step_count=40,
        derandomize=not examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    class Machine(StoreMachine):
        url = redis_url

    run_state_machine_as_test(Machine, settings=profile)
