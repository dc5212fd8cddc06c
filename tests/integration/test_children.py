"""Child processes from outside: real ones, whose jobs do what they are told."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import pytest
from batchscribe.transcriber.v1 import child_pb2

from tests.process_tree import children, module_of
from tests.scripted_child import BABBLE, BEAT, CRASH, DONE, GROW, GROWN_BYTES, HANG, PATIENCE, STALL
from tests.support import wait_until
from transcriber.child_process import Limits, Program
from transcriber.children import Child, ChildUnavailable
from transcriber.isolation import IsolatedChild
from transcriber.job_table import ChildDied, Ending, JobFailed, JobHung

LONG_SECONDS = 60.0
SHORT_SECONDS = 0.2
MANY = 1000
MUCH_BYTES = 1 << 40


class Asked:
    """A job that was asked for, and how often it got on."""

    def __init__(self, child: Child | IsolatedChild, deed: str) -> None:
        self.news = 0
        request = child_pb2.ChildRequest(fetch=child_pb2.FetchJob(url=deed))
        self.answer = asyncio.create_task(child.run(request, self._hear))
        # Of jobs that run to the end of a test nobody wants to know how they ended.
        self.answer.add_done_callback(lambda task: task.cancelled() or task.exception())

    def _hear(self, reply: child_pb2.ChildReply) -> None:
        self.news += 1

    async def begun(self) -> None:
        await wait_until(lambda: self.news)

    async def gets_on(self) -> None:
        heard = self.news
        await wait_until(lambda: self.news > heard + 2)

    async def stop(self) -> None:
        self.answer.cancel()
        await asyncio.wait([self.answer])


def limits(
    silence_seconds: float = LONG_SECONDS,
    shares_work: bool = False,
    grace_seconds: float = LONG_SECONDS,
    jobs: int = MANY,
    growth_bytes: int = MUCH_BYTES,
) -> Limits:
    return Limits(silence_seconds, shares_work, grace_seconds, jobs, growth_bytes)


@asynccontextmanager
async def running(limits: Limits, models: Sequence[Path] = ()) -> AsyncIterator[Child]:
    """Run a child that loads ``models`` before it is ready."""
    warm_up = [child_pb2.ChildRequest(load=child_pb2.LoadJob(model=str(model))) for model in models]
    setup = child_pb2.ChildRequest(fetch_setup=child_pb2.FetchSetup())
    program = Program(
        "tests.scripted_child", lambda line: nullcontext(setup), dict(os.environ), warm_up
    )
    child = Child(program, limits, lambda: None)
    child.start()
    try:
        yield child
    finally:
        await child.stop()


def processes() -> set[int]:
    """Return the ids of our children."""
    return {pid for pid in children(os.getpid()) if module_of(pid) == "tests.scripted_child"}


async def end_of(asked: Asked) -> BaseException | None:
    await asyncio.wait([asked.answer], timeout=20)
    return asked.answer.exception()


async def test_a_silent_job_ends_the_process_that_shares_its_work() -> None:
    """Where jobs cannot be told apart the process is killed for the one that hangs."""
    async with running(limits(silence_seconds=1, shares_work=True)) as child:
        beating, hung = Asked(child, BEAT), Asked(child, HANG)
        for asked in (beating, hung):
            died = await end_of(asked)
            assert isinstance(died, ChildDied)
            assert died.ending is Ending.HUNG
        await Asked(child, DONE).answer


async def test_a_silent_job_is_stopped_alone() -> None:
    """Where jobs have nothing in common only the one that hangs is stopped."""
    async with running(limits(silence_seconds=1)) as child:
        beating, stalled = Asked(child, BEAT), Asked(child, STALL)
        assert isinstance(await end_of(stalled), JobHung)
        await beating.gets_on()


async def test_patience_can_be_asked_for() -> None:
    """A job that says so may be silent for longer, as one that loads a model."""
    async with running(limits(silence_seconds=0.5)) as child:
        patient, stalled = Asked(child, PATIENCE), Asked(child, STALL)
        assert isinstance(await end_of(stalled), JobHung)
        assert not patient.answer.done()


async def test_cancelling_waits_until_the_job_has_stopped() -> None:
    """When a cancelled call returns nothing of its job runs any more."""
    async with running(limits()) as child:
        beating = Asked(child, BEAT)
        await beating.begun()
        await beating.stop()
        assert beating.answer.cancelled()
        await Asked(child, DONE).answer


async def test_a_job_that_does_not_let_go_costs_its_neighbours_no_blame() -> None:
    """The process is killed for it after the grace; its neighbours run again, in company."""
    async with running(limits(grace_seconds=SHORT_SECONDS)) as child:
        isolated = IsolatedChild(child)
        neighbour = Asked(isolated, BEAT)
        for _ in range(3):
            hung = Asked(isolated, HANG)
            await hung.begun()
            await hung.stop()
            await neighbour.gets_on()
        assert not neighbour.answer.done()


async def test_a_job_that_comes_too_late_runs_in_the_next_process() -> None:
    """A process that is about to end takes no job, and nobody is to blame for that."""
    async with running(limits(growth_bytes=GROWN_BYTES // 4)) as child:
        isolated = IsolatedChild(child)
        grown = Asked(child, GROW)
        while not grown.answer.done():
            await Asked(isolated, DONE).answer
        assert isinstance(grown.answer.exception(), ChildDied)


async def test_a_hung_job_that_does_not_let_go_has_hung() -> None:
    """It does not run again, though the process was killed for it."""
    async with running(limits(silence_seconds=0.5, grace_seconds=SHORT_SECONDS)) as child:
        assert isinstance(await end_of(Asked(IsolatedChild(child), HANG)), JobHung)


async def test_the_job_that_kills_its_process_is_found_out() -> None:
    """It fails after three deaths, the last of them alone; its neighbours go on."""
    async with running(limits()) as child:
        isolated = IsolatedChild(child)
        neighbour, deadly = Asked(isolated, BEAT), Asked(isolated, CRASH)
        await neighbour.begun()
        await wait_until(lambda: deadly.news >= 2)
        await neighbour.stop()
        died = await end_of(deadly)
        assert isinstance(died, ChildDied)
        assert died.ending is Ending.CRASHED
        await Asked(isolated, DONE).answer


async def test_a_worn_out_process_is_replaced_while_its_jobs_end() -> None:
    """After its share of jobs another takes over; what runs in the first is not disturbed."""
    async with running(limits(jobs=2)) as child:
        beating = Asked(child, BEAT)
        await beating.begun()
        (first,) = processes()
        for _ in range(2):
            await Asked(child, DONE).answer
        await wait_until(lambda: len(processes()) == 2)
        await beating.gets_on()
        assert not beating.answer.done()
        await wait_until(lambda: child.state.loaded_models)
        await beating.stop()
        await wait_until(lambda: first not in processes())
        await Asked(child, DONE).answer


async def test_a_process_that_has_grown_is_replaced() -> None:
    """Memory that is not given back wears a process out, and its jobs may end there."""
    async with running(limits(growth_bytes=GROWN_BYTES * 3 // 4)) as child:
        grown = Asked(child, GROW)
        await grown.begun()
        await wait_until(lambda: len(processes()) == 2)
        await grown.gets_on()
        assert not grown.answer.done()


async def test_a_process_that_grows_too_large_is_killed() -> None:
    """At twice the growth its jobs fail, and say why."""
    async with running(limits(growth_bytes=GROWN_BYTES // 4)) as child:
        died = await end_of(Asked(child, GROW))
        assert isinstance(died, ChildDied)
        assert died.ending is Ending.TOO_LARGE


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that can be loaded."""
    path = tmp_path / "model"
    mend(path)
    return path


def mend(model: Path) -> None:
    """Have the model be there."""
    model.touch()


@asynccontextmanager
async def died(model: Path, spoil: Callable[[Path], object]) -> AsyncIterator[Child]:
    """Run a child that has died, and whose next processes find their ``model`` spoilt."""
    async with running(limits(), [model]) as child:
        await child.ready()
        assert child.is_able
        spoil(model)
        await end_of(Asked(child, CRASH))
        yield child


def crash_at_start(times: int) -> Callable[[Path], object]:
    """Return what makes so many processes crash that load a model."""
    return lambda model: model.write_text(str(times))


async def test_a_process_that_crashes_at_its_start_costs_no_job(model: Path) -> None:
    """A job waits for the third process after a death; there is hope all the time."""
    async with died(model, crash_at_start(times=2)) as child:
        waiting = Asked(child, DONE)
        await wait_until(lambda: model.read_text() == "0")
        assert child.is_able
        await waiting.answer


@pytest.mark.parametrize(
    ("spoil", "cause"), [(Path.unlink, JobFailed), (crash_at_start(times=3), ChildDied)]
)
async def test_a_child_that_does_not_come_back_says_so(
    model: Path, spoil: Callable[[Path], object], cause: type[Exception]
) -> None:
    """Jobs wait for none that cannot start, nor for a fourth; once one can, they take place."""
    async with died(model, spoil) as child:
        unavailable = await end_of(Asked(child, DONE))
        assert isinstance(unavailable, ChildUnavailable)
        assert isinstance(unavailable.__cause__, cause)
        assert not child.is_able
        mend(model)
        await wait_until(lambda: child.is_able)
        await Asked(child, DONE).answer


async def test_nonsense_ends_a_process() -> None:
    """A child that sends what is no message is believed nothing more."""
    async with running(limits()) as child:
        assert isinstance(await end_of(Asked(child, BABBLE)), ChildDied)
        await Asked(child, DONE).answer


async def test_stopping_leaves_no_process() -> None:
    """Nothing is left of a child, also while one process follows another."""
    before = processes()
    async with running(limits(jobs=1)) as child:
        await Asked(child, DONE).answer
    assert processes() == before
