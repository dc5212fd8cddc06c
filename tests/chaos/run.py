"""One run: a deployment under load and under fire, then the verdict."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.errors import NotFound
from gateway.store import ENDED_BATCH_STATES, BatchStore, connect, keys
from tests.chaos import recovery
from tests.chaos.books import misbooked
from tests.chaos.invariants import Inspection, Verdict
from tests.chaos.journal import Entry
from tests.chaos.load import Load, Promise
from tests.chaos.monkey import Fault, Monkey, Strike, Target
from tests.chaos.receiver import Receiver
from tests.chaos.services import deployed
from tests.chaos.versions import ROOT
from tests.support import wait_until

AUDIT_SECONDS = 1.0
AUDITED_BATCHES = 50
PLAYLIST_SHARE = 0.2


@dataclass(frozen=True)
class Campaign:
    """What a run is made of; ``settle_seconds`` is the patience with what is open at its end.

    ``source`` is where the version lies with which all processes begin, ``successor`` that as which
    they come back; ``clocks`` is by how many seconds those of the gateways are wrong.
    """

    seconds: float
    seed: int
    faults: Sequence[Fault]
    items_per_second: float = 20.0
    settle_seconds: float = 180.0
    module: Sequence[str] = ("gateway",)
    source: Path = ROOT
    successor: Path = ROOT
    clocks: Sequence[int] = ()

    @property
    def is_ours_alone(self) -> bool:
        """No earlier version has a part in it: those know no playlists and keep no books."""
        return self.source == self.successor == ROOT


@dataclass(frozen=True)
class Report:
    """What came of a run."""

    items: int
    strikes: Sequence[Strike]
    verdict: Verdict
    reexecuted: int
    adopted: int
    gateway_recovery_seconds: Sequence[float]
    transcriber_recovery_seconds: Sequence[float]

    @property
    def kills(self) -> list[Strike]:
        return [strike for strike in self.strikes if strike.is_kill]

    def lines(self) -> list[str]:
        """Return the report for people; the last line is for programs."""
        return [
            *(f"problem: {problem}" for problem in self.verdict.problems[:20]),
            *(self._told(target) for target in Target),
            self._recovery("gateway", self.gateway_recovery_seconds),
            self._recovery("transcriber", self.transcriber_recovery_seconds),
            f"chaos: items={self.items} kills={len(self.kills)} lost={self.verdict.lost} "
            f"doubled={self.verdict.doubled} gaps={self.verdict.gaps} "
            f"reexecuted={self.reexecuted} adopted={self.adopted} "
            f"recovery_p99_s={recovery.p99(self.gateway_recovery_seconds):.1f}",
        ]

    def _told(self, target: Target) -> str:
        here = [strike for strike in self.strikes if strike.fault.target is target]
        kills = [strike for strike in here if strike.is_kill]
        busy = sum(bool(strike.leases) for strike in kills)
        return (
            f"{target.value}: {len(kills)} kills, {busy} of them with items running there, "
            f"{len(here) - len(kills)} freezes and restarts"
        )

    def _recovery(self, kind: str, seconds: Sequence[float]) -> str:
        return (
            f"after a {kind}'s kill: {len(seconds)} items ran on within "
            f"{recovery.p99(seconds):.1f} s (p99), {max(seconds, default=0):.1f} s (longest)"
        )


async def run(campaign: Campaign, folder: Path) -> Report:
    """Run ``campaign`` with its files in ``folder``, a short path: a socket lies there."""
    async with (
        Receiver(campaign.seed).receiving() as receiver,
        deployed(folder, campaign.module, campaign.source, campaign.clocks) as deployment,
        contextlib.aclosing(connect(deployment.redis.url)) as redis,
    ):
        load = Load(
            [gateway.address for gateway in deployment.gateways],
            BatchStore(redis),
            receiver.url,
            campaign.seed,
            campaign.items_per_second,
            PLAYLIST_SHARE if campaign.is_ours_alone else 0.0,
        )
        monkey, inspection = Monkey(deployment, campaign.successor), Inspection(redis)
        auditing = asyncio.create_task(_audit(inspection, load))
        await _until_settled(campaign, monkey, load, redis)
        auditing.cancel()
        verdict = await inspection.judge(load, receiver.accepted)
        if campaign.is_ours_alone:
            verdict.problems += await misbooked(redis, load)
        ended = [service.name for service in deployment.services if service.has_ended]
        verdict.problems += [f"{name} ended by itself" for name in (*monkey.found_dead, *ended)]
        verdict.problems += [bug for service in deployment.services for bug in service.bugs()]
        return _report(load, monkey.strikes, verdict, deployment.entries())


async def _until_settled(campaign: Campaign, monkey: Monkey, load: Load, redis: Redis) -> None:
    """Strike and load at the same time; return when all is done, or patience is at its end."""
    with contextlib.suppress(TimeoutError, AssertionError):
        async with asyncio.timeout(campaign.seconds + campaign.settle_seconds):
            async with asyncio.TaskGroup() as parts:
                parts.create_task(monkey.run(campaign.faults))
                parts.create_task(load.run(campaign.seconds))
            await _until_ended(load, redis, campaign.settle_seconds)


def _report(
    load: Load, strikes: Sequence[Strike], verdict: Verdict, entries: Sequence[Entry]
) -> Report:
    return Report(
        items=sum(sum(promise.videos) for promise in (*load.promises, *load.deleted)),
        strikes=strikes,
        verdict=verdict,
        reexecuted=recovery.reexecuted(entries),
        adopted=recovery.adopted(entries),
        gateway_recovery_seconds=recovery.recoveries(Target.GATEWAY, strikes, entries),
        transcriber_recovery_seconds=recovery.recoveries(Target.TRANSCRIBER, strikes, entries),
    )


async def _audit(inspection: Inspection, load: Load) -> None:
    """Look at the leases of what was ordered lately, again and again."""
    while True:
        with contextlib.suppress(RedisError):  # It is away: that is the run's own doing.
            await inspection.judge_leases(load.promises[-AUDITED_BATCHES:])
        await asyncio.sleep(AUDIT_SECONDS)


async def _until_ended(load: Load, redis: Redis, seconds: float) -> None:
    store = BatchStore(redis)

    async def has_ended(promise: Promise) -> bool:
        try:
            stored = await store.batch(promise.user, promise.batch_id, with_items=False)
        except NotFound:
            return True  # For the verdict to find.
        return stored.batch.state in ENDED_BATCH_STATES

    async def is_empty() -> bool:
        return not await redis.exists(keys.key("outbox"))

    for promise in load.promises:
        await wait_until(partial(has_ended, promise), seconds)
    await wait_until(is_empty, seconds)
