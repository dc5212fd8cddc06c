"""Short runs of the chaos rig, and proof that it would notice a broken promise."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.monkey import Act, Fault, Target, plan
from tests.chaos.run import Campaign, Report, run
from tests.chaos.services import COUNT
from tests.chaos.versions import ROOT, check_out, previous

pytestmark = pytest.mark.timeout(180)

# Items a second of which whoever is struck is sure to have some at work.
BUSY = 60.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path so short that a socket fits in."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        yield Path(name)


async def test_nothing_is_lost_or_doubled_under_fire(folder: Path) -> None:
    """Whatever is killed, frozen or cut, each item ends once and each watcher sees it once."""
    faults = plan(seed=2, seconds=16.0, pace_seconds=2.0)
    campaign = Campaign(seconds=17.0, seed=2, faults=faults, items_per_second=30.0)
    report = await run(campaign, folder)
    assert report.verdict.is_clean, report.lines()
    assert {strike.fault.target for strike in report.kills} == set(Target), report.lines()
    assert report.items > 400
    assert report.verdict.found > 20, "the load is to have playlists"


async def test_missing_fencing_is_found(folder: Path) -> None:
    """Were a late result not fenced off, the run would report items that ended twice."""
    frozen = Fault(1.5, Target.GATEWAY, Act.FREEZE, away_seconds=14.0, draw=0)
    report = await run(
        Campaign(
            seconds=16.5,
            seed=1,
            faults=[frozen],
            items_per_second=BUSY,
            settle_seconds=4.0,
            module=("tests.chaos.gateway", "--without-fencing"),
        ),
        folder,
    )
    assert report.verdict.doubled > 0, report.lines()


async def test_missing_replay_is_found(folder: Path) -> None:
    """Did a resumed watch begin at the present, the run would report gaps."""
    killed = Fault(2.0, Target.GATEWAY, Act.KILL, away_seconds=0.5, draw=0)
    report = await run(
        Campaign(
            seconds=6.0,
            seed=1,
            faults=[killed],
            items_per_second=BUSY,
            settle_seconds=5.0,
            module=("tests.chaos.gateway", "--without-replay"),
        ),
        folder,
    )
    assert report.verdict.gaps > 0, report.lines()


async def test_a_killed_gateways_work_is_adopted(folder: Path) -> None:
    """What a killed gateway had running goes on, and another takes it over within 12 seconds."""
    killed = Fault(2.0, Target.GATEWAY, Act.KILL, away_seconds=15.0, draw=0)
    campaign = Campaign(seconds=6.0, seed=3, faults=[killed], items_per_second=BUSY)
    report = await run(campaign, folder)
    assert report.verdict.is_clean, report.lines()
    assert report.adopted > 0
    assert report.reexecuted == 0
    assert 0.0 < max(report.gateway_recovery_seconds) <= 12.0, report.lines()


@pytest.mark.needs_faketime
async def test_gateways_with_wrong_clocks_lose_nothing(folder: Path) -> None:
    """One is an hour ahead and one behind, and the third, which is right, is killed."""
    killed = Fault(1.5, Target.GATEWAY, Act.KILL, away_seconds=2.0, draw=0)
    clocks = (0, 3600, -3600)
    campaign = Campaign(4.0, seed=6, faults=[killed], items_per_second=BUSY, clocks=clocks)
    report = await run(campaign, folder)
    assert report.verdict.is_clean, report.lines()
    assert report.gateway_recovery_seconds
    assert max(report.gateway_recovery_seconds) <= 12.0, report.lines()


TURNS = [(target, n) for n in range(COUNT) for target in (Target.GATEWAY, Target.TRANSCRIBER)]
ONE_BY_ONE = [
    Fault(1.0 + 1.5 * number, target, Act.TERMINATE, away_seconds=0.0, draw=n)
    for number, (target, n) in enumerate(TURNS)
]


async def test_a_rolling_restart_loses_nothing(folder: Path) -> None:
    """Every gateway and every transcriber is restarted in turn under load; all goes on."""
    report = await run(Campaign(seconds=12.0, seed=4, faults=ONE_BY_ONE), folder)
    assert report.verdict.is_clean, report.lines()
    assert_all_had_their_turn(report)


@pytest.mark.needs_history
@pytest.mark.parametrize("is_rollback", [False, True], ids=["upgrade", "rollback"])
async def test_a_change_of_version_loses_nothing(folder: Path, is_rollback: bool) -> None:
    """Processes of the version before and of this one share a Redis while each is replaced."""
    version = previous()
    assert version
    before = check_out(version, folder / "before")
    source, successor = (ROOT, before) if is_rollback else (before, ROOT)
    campaign = Campaign(12.0, seed=5, faults=ONE_BY_ONE, source=source, successor=successor)
    report = await run(campaign, folder)
    assert report.verdict.is_clean, report.lines()
    assert_all_had_their_turn(report)


def assert_all_had_their_turn(report: Report) -> None:
    struck = {strike.victim for strike in report.strikes}
    assert struck == {f"{target.value}-{n}" for target, n in TURNS}
