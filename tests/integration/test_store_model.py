"""The batch store beside a model of it: whatever is asked of both, in whatever order, they agree.

``MODEL_EXAMPLES=5000 pytest tests/integration/test_store_model.py`` searches longer, and anew each
time; without it the same examples run every time.
"""

import asyncio
import os
from collections.abc import Coroutine, Sequence
from itertools import chain
from typing import Any, ClassVar, TypeVar

import pytest
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

from gateway.store import Lease, Release, Vacancy
from tests.store_model import model as limits
from tests.store_model.batch import CANCELLED, FAILED, SUCCEEDED, Batch
from tests.store_model.pair import Pair, Shape

T = TypeVar("T")

HOUR_MS = 3_600_000
MOST_OPEN, MOST_BATCHES = 3, 6

# Which of several, counted from the newest.
picks = st.integers(0, 9)
addresses = st.sampled_from(["w1", "w2"])
vacancies = st.lists(
    st.builds(Vacancy, addresses, st.integers(1, 3), st.integers(0, 4)),
    min_size=1,
    unique_by=lambda vacancy: vacancy.address,
)
durations = st.sampled_from([0, 2000, 3000])
stages = st.sampled_from([pb.ITEM_STATE_FETCHING, pb.ITEM_STATE_TRANSCRIBING])
ends = st.sampled_from([SUCCEEDED, FAILED, CANCELLED])
sites = st.sampled_from(["a.test", "b.test"])
delays = st.sampled_from([0, HOUR_MS])
shapes = st.builds(
    Shape,
    user=st.sampled_from(["ann", "bob", "cyd"]),
    sites=st.lists(sites, min_size=1, max_size=6),
    weight=st.sampled_from([1.0, 2.0]),
    keep_ms=st.sampled_from([0, HOUR_MS]),
    max_concurrent=st.integers(1, 3),
    is_serial=st.booleans(),
    continue_on_error=st.booleans(),
    max_total=st.sampled_from([None, 6]),
    most_videos=st.sampled_from([None, 6]),
)


def several(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[list[T]]:
    return st.lists(strategy, min_size=1, max_size=3)


def newest(things: Sequence[T], pick: int) -> T:
    """Return one of ``things``, the last for 0."""
    return things[-1 - pick % len(things)]


class StoreMachine(RuleBasedStateMachine):
    """Chooses what to ask; ``url`` is the address of a Redis that is its own."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.pair = Pair(self.url)
        self.run(self.pair.commands(("FLUSHALL",)))

    def teardown(self) -> None:
        if self.is_sound:
            self.run(self.pair.run_to_the_end())
            self.run(self.pair.check())
        self.run(self.pair.redis.aclose())
        self.runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        self.is_sound = False
        reply = self.runner.run(call)
        self.is_sound = True
        return reply

    def batches(self) -> list[Batch]:
        return list(self.pair.model.batches.values())

    def may_create(self) -> bool:
        is_open = [not batch.has_ended for batch in self.batches()]
        return len(is_open) < MOST_BATCHES and sum(is_open) < MOST_OPEN

    def is_old(self) -> bool:
        """Much has happened, so that an end of all is no loss."""
        return len(self.pair.claims) > 15

    def held(self, pick: int) -> list[Lease]:
        """A lease that holds, in a list; none if nothing can be claimed."""
        if not self.pair.held:
            self.run(self.pair.claim("w1", 3, 3))
        held = self.pair.held
        return [newest(held, pick)] if held else []

    def is_playlist(self, lease: Lease) -> bool:
        _, item = self.pair.model.find(lease.member)
        return item.is_unresolved

    @initialize(first=shapes, second=shapes)
    def begin(self, first: Shape, second: Shape) -> None:
        self.run(self.pair.create(first))
        self.run(self.pair.create(second))

    @precondition(may_create)
    @rule(shape=shapes)
    def create(self, shape: Shape) -> None:
        self.run(self.pair.create(shape))

    @rule(asks=several(vacancies))
    def claim(self, asks: list[list[Vacancy]]) -> None:
        for ask in asks:
            self.run(self.pair.claim_all(ask))

    @rule(of=several(picks), state=stages, duration_ms=durations)
    def stage(self, of: list[int], state: pb.ItemState.ValueType, duration_ms: int) -> None:
        for lease in chain.from_iterable(map(self.held, of)):
            self.run(self.pair.stage(lease, state, duration_ms))

    @rule(of=several(st.tuples(picks, several(st.tuples(sites, durations)))))
    def expand(self, of: list[tuple[int, list[tuple[str, int]]]]) -> None:
        for pick, videos in of:
            for lease in filter(self.is_playlist, self.held(pick)):
                self.run(self.pair.expand(lease, videos))

    @rule(ends=several(st.tuples(picks, ends, durations)))
    def finish(self, ends: list[tuple[int, pb.ItemState.ValueType, int]]) -> None:
        for pick, state, duration_ms in ends:
            for lease in self.held(pick):
                self.run(self.pair.finish(lease, state, duration_ms))

    @rule(ends=several(st.tuples(picks, st.sampled_from(Release), delays)))
    def release(self, ends: list[tuple[int, Release, int]]) -> None:
        for pick, kind, delay_ms in ends:
            for lease in self.held(pick):
                self.run(self.pair.release(lease, kind, delay_ms))

    @precondition(lambda self: bool(self.pair.leases))
    @rule(of=st.lists(picks, max_size=4), claim=picks)
    def renew_and_write_late(self, of: list[int], claim: int) -> None:
        leases = [newest(self.pair.leases, pick) for pick in of]
        self.run(self.pair.renew(leases))
        for lease in filter(self.pair.is_stale, leases):
            self.run(self.pair.write_late(lease))
        self.run(self.pair.claim_again(*newest(self.pair.claims, claim)))

    @rule(address=addresses, counts=several(st.integers(0, 2)))
    def vanish(self, address: str, counts: list[int]) -> None:
        for count in counts:
            self.run(self.pair.claim(address, 3, count))
            self.run(self.pair.vanish(address))

    @precondition(lambda self: bool(self.batches()))
    @rule(pick=picks, of=st.lists(picks, max_size=3))
    def cancel(self, pick: int, of: list[int]) -> None:
        batch = newest(self.batches(), pick)
        self.run(self.pair.cancel(batch, [newest(batch.items, index) for index in of]))

    @precondition(lambda self: bool(self.batches()))
    @rule(pick=picks)
    def retry(self, pick: int) -> None:
        self.run(self.pair.retry(newest(self.batches(), pick)))

    @precondition(lambda self: bool(self.batches()) and self.is_old())
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        self.run(self.pair.delete(newest(self.batches(), pick)))

    @rule()
    def turn_month(self) -> None:
        self.run(self.pair.turn_month())

    @rule()
    def let_time_pass(self) -> None:
        self.run(self.pair.let_time_pass())

    @rule(of=st.lists(picks, max_size=3), is_outage=st.booleans())
    def run_out_and_reap(self, of: list[int], is_outage: bool) -> None:
        for lease in chain.from_iterable(map(self.held, of)):
            self.run(self.pair.run_out(lease))
        self.run(self.pair.reap_after_outage() if is_outage else self.pair.reap())

    @precondition(lambda self: bool(self.batches()) and self.is_old())
    @rule(pick=picks)
    def reap_late(self, pick: int) -> None:
        self.run(self.pair.reap(late=newest(self.batches(), pick)))

    @invariant()
    def they_agree(self) -> None:
        self.run(self.pair.check())


@pytest.fixture
def limits_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small counts, and times so long that a slow machine does not change the outcome."""
    for name in ("LEASE_MS", "OUTAGE_MS", "OUTAGE_GRACE_MS"):
        monkeypatch.setattr(f"gateway.store.batch_store.{name}", HOUR_MS)
    for name in ("MAX_LOST", "MAX_CRASHES", "MAX_SUSPICIONS", "MAX_SITE_WAITS"):
        monkeypatch.setattr(f"gateway.store.batch_store.{name}", getattr(limits, name))


@pytest.mark.usefixtures("limits_of_the_model")
async def test_poison_that_was_to_be_cancelled_is_cancelled(redis_url: str) -> None:
    """An item that is found out as poison after its cancel was asked for is CANCELLED."""
    pair = Pair(redis_url)
    await pair.create(Shape("ann", ["a.test"], 1.0, 0, 1, is_serial=False, continue_on_error=True))
    for _ in range(limits.MAX_SUSPICIONS - 1):
        await pair.claim("w1", 1, 1)
        await pair.vanish("w1")
    await pair.claim("w1", 1, 1)
    await pair.release(pair.held[0], Release.LOST)
    await pair.claim("w1", 1, 1)
    (batch,) = pair.model.batches.values()
    await pair.cancel(batch, batch.items)
    await pair.blame()
    await pair.check()
    assert batch.items[0].state == CANCELLED
    await pair.redis.aclose()


# Hypothesis bounds its own time: minutes at most, to make a failure small.
@pytest.mark.timeout(0)
@pytest.mark.usefixtures("limits_of_the_model")
def test_the_store_agrees_with_its_model(redis_url: str) -> None:
    """Whatever happens to batches in whatever order, Redis holds what the model says."""
    examples = int(os.environ.get("MODEL_EXAMPLES", "0"))
    profile = settings(
        max_examples=examples or 30,
        stateful_step_count=50,
        derandomize=not examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    class Machine(StoreMachine):
        url = redis_url

    run_state_machine_as_test(Machine, settings=profile)
