"""The faults of a run: planned from a seed, then done to a deployment.

The plan is the same for the same seed; what a fault hits depends on what is up at that moment.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

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

# Seconds that a target is away: longer than a lease for a gateway, or than a call's patience.
AWAY_SECONDS = {
    Act.KILL: (0.2, 3.0),
    Act.CUT_POWER: (0.2, 3.0),
    Act.FREEZE: (3.0, 14.0),
    Act.TERMINATE: (0.0, 1.0),
}


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
    """Return faults about ``pace_seconds`` apart: in each four a kill of every kind of target."""
    dice = random.Random(seed)
    faults: list[Fault] = []
    while len(faults) < int(seconds / pace_seconds):
        for target, act in _hand(dice):
            at = (len(faults) + dice.uniform(0.5, 1.0)) * pace_seconds
            away = dice.uniform(*AWAY_SECONDS[act])
            faults.append(Fault(at, target, act, away, dice.randrange(1000)))
    return [fault for fault in faults if fault.at_seconds < seconds]


def _hand(dice: random.Random) -> list[tuple[Target, Act]]:
    """Return four faults, those that blur how others recover at the end."""
    killed = [(Target.GATEWAY, Act.KILL), (Target.TRANSCRIBER, Act.KILL)]
    blurring = [
        (Target.REDIS, dice.choice((Act.KILL, Act.CUT_POWER))),
        (dice.choice(tuple(Target)), dice.choice((Act.FREEZE, Act.TERMINATE))),
    ]
    return dice.sample(killed, 2) + dice.sample(blurring, 2)


class Monkey:
    """Carries a plan out; everything is up again when ``run`` returns.

    ``strikes`` is what fell where, ``found_dead`` who had ended by itself.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.strikes: list[Strike] = []
        self.found_dead: list[str] = []
        self._deployment = deployment

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
        up = [service for service in kinds[fault.target] if service.is_up]
        return up[fault.draw % len(up)] if up else None

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
        await victim.start()

    def _calls_on(self, victim: Service) -> list[Entry]:
        """Return the open calls of a gateway, or on a transcriber, or all of them."""
        workers = (
            [victim] if isinstance(victim, TranscriberService) else self._deployment.transcribers
        )
        calls = [call for worker in workers for call in worker.life.calls.values()]
        return calls_of(victim.pid, calls) if isinstance(victim, GatewayService) else calls
