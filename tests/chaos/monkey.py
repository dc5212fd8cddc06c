"""The faults of a run: planned from a seed, then done to a deployment.

The plan is the same for the same seed; what a fault hits depends on what is up at that moment.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.chaos.journal import Entry
from tests.chaos.services import (
    Deployment,
    GatewayService,
    RedisService,
    Service,
    TranscriberService,
)
from tests.chaos.sockets import calls_of
from tests.support import wait_until

BUSY_SECONDS = 2.0


class Target(Enum):
    """What kind of process is struck."""

    GATEWAY = "gateway"
    TRANSCRIBER = "transcriber"
    REDIS = "redis"


class Act(Enum):
    """How it is struck."""

    KILL = "kill"
    CUT_POWER = "cut power"
    FREEZE = "freeze"
    TERMINATE = "terminate"


KILLS = frozenset({Act.KILL, Act.CUT_POWER})

# Seconds that a target is away: a frozen gateway longer than its leases, a frozen Redis not.
AWAY_SECONDS = {
    Act.KILL: (0.2, 3.0),
    Act.CUT_POWER: (0.2, 3.0),
    Act.FREEZE: (3.0, 14.0),
    Act.TERMINATE: (0.0, 1.0),
}
REDIS_FROZEN_SECONDS = (1.0, 6.0)

# When the faults of one hand fall, in paces: each kill of a gateway, and then of a transcriber,
# gets time to show how its items recover by themselves.
HAND_PACES = 4.0
OFFSETS = (0.2, 1.7, 2.6, 3.0)


@dataclass(frozen=True)
class Fault:
    """One planned blow; ``draw`` chooses among the targets of the kind."""

    at_seconds: float
    target: Target
    act: Act
    away_seconds: float
    draw: int


@dataclass(frozen=True)
class Strike:
    """One blow as it fell, in times of the monotonic clock; ``leases`` is what ran there before."""

    fault: Fault
    victim: str
    at: float
    until: float
    leases: frozenset[tuple[str, int]]

    @property
    def is_kill(self) -> bool:
        return self.fault.act in KILLS


def plan(seed: int, seconds: float, pace_seconds: float) -> list[Fault]:
    """Return faults ``pace_seconds`` apart on the whole: of each four a kill of every target."""
    dice = random.Random(seed)
    hands = int(seconds / pace_seconds / HAND_PACES) + 1
    faults = [fault for hand in range(hands) for fault in _hand(dice, hand, pace_seconds)]
    return [fault for fault in faults if fault.at_seconds < seconds]


def _hand(dice: random.Random, number: int, pace_seconds: float) -> Iterator[Fault]:
    blows = (
        (Target.GATEWAY, Act.KILL),
        (Target.TRANSCRIBER, Act.KILL),
        (Target.REDIS, dice.choice((Act.KILL, Act.CUT_POWER))),
        (dice.choice(tuple(Target)), dice.choice((Act.FREEZE, Act.TERMINATE))),
    )
    for offset, (target, act) in zip(OFFSETS, blows, strict=True):
        at = (number * HAND_PACES + offset + dice.uniform(0.0, 0.1)) * pace_seconds
        is_short = target is Target.REDIS and act is Act.FREEZE
        away = dice.uniform(*(REDIS_FROZEN_SECONDS if is_short else AWAY_SECONDS[act]))
        yield Fault(at, target, act, away, dice.randrange(1000))


class Monkey:
    """Carries a plan out; everything is up again when ``run`` returns.

    Who is struck comes back as the version that lies in ``successor``. ``strikes`` is what fell
    where, ``found_dead`` who had ended by itself.
    """

    def __init__(self, deployment: Deployment, successor: Path) -> None:
        self.strikes: list[Strike] = []
        self.found_dead: list[str] = []
        self._deployment = deployment
        self._successor = successor

    async def run(self, faults: Sequence[Fault]) -> None:
        begun = time.monotonic()
        async with asyncio.TaskGroup() as blows:
            for fault in faults:
                await asyncio.sleep(max(0.0, begun + fault.at_seconds - time.monotonic()))
                victim = self._choose(fault)
                if victim is not None:
                    victim.is_up = False  # Not to be struck again before it is back.
                    blows.create_task(self._strike(fault, victim))

    def _choose(self, fault: Fault) -> Service | None:
        kinds: dict[Target, Sequence[Service]] = {
            Target.GATEWAY: self._deployment.gateways,
            Target.TRANSCRIBER: self._deployment.transcribers,
            Target.REDIS: (self._deployment.redis,),
        }
        services = kinds[fault.target]
        first = fault.draw % len(services)
        return next((one for one in (*services[first:], *services[:first]) if one.is_up), None)

    async def _strike(self, fault: Fault, victim: Service) -> None:
        if victim.has_ended:
            self.found_dead.append(victim.name)
            return await victim.start()
        with suppress(AssertionError):  # An idle victim is struck all the same.
            await wait_until(lambda: self._calls_on(victim), BUSY_SECONDS)
        leases = frozenset(entry.lease for entry in self._calls_on(victim))
        at = time.monotonic()
        await self._do(fault, victim)
        self.strikes.append(Strike(fault, victim.name, at, time.monotonic(), leases))

    async def _do(self, fault: Fault, victim: Service) -> None:
        if fault.act is Act.FREEZE:
            victim.freeze()
            await asyncio.sleep(fault.away_seconds)
            return victim.thaw()
        if fault.act is Act.TERMINATE:
            await victim.terminate()
        elif fault.act is Act.CUT_POWER and isinstance(victim, RedisService):
            await victim.cut_power()
        else:
            await victim.kill()
        await asyncio.sleep(fault.away_seconds)
        victim.source = self._successor
        await victim.start()

    def _calls_on(self, victim: Service) -> list[Entry]:
        """Return the open calls of a gateway, or on a transcriber, or all of them."""
        workers = (
            [victim] if isinstance(victim, TranscriberService) else self._deployment.transcribers
        )
        calls = [call for worker in workers for call in worker.life.calls.values()]
        return calls_of(victim.pid, calls) if isinstance(victim, GatewayService) else calls
