"""The processes of a real transcriber: killed, frozen, worn out, asked to stop."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.transcriber import MODEL, Transcriber, refusal, running_transcriber, start
from tests.media import Answer, MediaServer
from tests.support import wait_until
from transcriber import models
from transcriber.scratch import Scratch

pytestmark = pytest.mark.asyncio(loop_scope="module")

FETCHING = contract.TASK_STAGE_FETCHING
TRANSCRIBING = contract.TASK_STAGE_TRANSCRIBING


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def transcriber(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Transcriber]:
    """One for all tests of this module that leave it as they found it."""
    async with running_transcriber(tmp_path_factory.mktemp("transcriber")) as running:
        yield running


async def _health(transcriber: Transcriber) -> int:
    stub: Any = health_pb2_grpc.HealthStub(transcriber.channel)  # Its types lack the methods.
    asked = health_pb2.HealthCheckRequest(service="batchscribe.transcriber.v1.TranscriberService")
    answer: int = (await stub.Check(asked)).status
    return answer


async def _kill(
    transcriber: Transcriber, module: str, times: int, when: Callable[[int], bool] = lambda _: True
) -> None:
    """Kill one process of ``module`` after the other, once ``when`` agrees to that many before."""
    killed: set[int] = set()

    def following() -> int | None:
        process = transcriber.children().get(module)
        return process if process not in killed and when(len(killed)) else None

    for _ in range(times):
        process = await wait_until(following)
        os.kill(process, signal.SIGKILL)
        killed.add(process)


@pytest.mark.parametrize("module", ["transcriber.engine", "transcriber.fetch"])
async def test_a_child_that_dies_once_costs_nobody_anything(
    transcriber: Transcriber, lecture: str, samples_url: str, module: str
) -> None:
    """A crash that no task is to blame for fails none: they run again in the next child."""
    stage = TRANSCRIBING if module == "transcriber.engine" else FETCHING
    calls = [
        transcriber.transcribe(url, f"{module} {number}")
        for number, url in enumerate((lecture, f"{samples_url}/train.mp3"))
    ]
    await wait_until(lambda: transcriber.stage(f"{module} 0") == stage)
    os.kill(transcriber.children()[module], signal.SIGSEGV)
    for call in calls:
        assert (await call).transcript.text


async def test_an_engine_that_is_killed_at_its_start_costs_nobody_anything(
    transcriber: Transcriber, lecture: str
) -> None:
    """Its work waits for the third process if the second is killed while it loads."""
    call = transcriber.transcribe(lecture, "twice")
    await wait_until(lambda: transcriber.stage("twice") == TRANSCRIBING)
    await _kill(transcriber, "transcriber.engine", times=2)
    assert (await call).transcript.text


async def test_health_is_answered_while_the_engine_is_away(
    transcriber: Transcriber, lecture: str
) -> None:
    """A child that comes back is no reason to take the transcriber out of service."""
    call = transcriber.transcribe(lecture, "engine away")
    await wait_until(lambda: transcriber.stage("engine away") == TRANSCRIBING)
    os.kill(transcriber.children()["transcriber.engine"], signal.SIGSEGV)
    await wait_until(lambda: not transcriber.is_loaded)
    while not transcriber.is_loaded:
        assert await _health(transcriber) == health_pb2.HealthCheckResponse.SERVING
        assert transcriber.status.slots == 4
    assert (await call).transcript.text


async def test_a_task_that_kills_its_child_is_found_out(
    transcriber: Transcriber, media: MediaServer, samples_url: str
) -> None:
    """A task whose child dies every time has failed, and the next task works again."""
    call = transcriber.transcribe(media.serve("deadly.mp4", Answer(drip=True)), "deadly")

    def is_fetching(killed: int) -> bool:
        """Tell whether the process after ``killed`` others has looked at the media and asked."""
        return media.asked.count("/deadly.mp4") == 2 * (killed + 1)

    await _kill(transcriber, "transcriber.fetch", times=3, when=is_fetching)
    error = (await call).error
    assert error.reason == "WORKER_CRASHED"
    assert error.retryable
    following = await transcriber.transcribe(f"{samples_url}/train.mp3", "after a deadly one")
    assert following.transcript.text


async def test_health_is_known_by_service(transcriber: Transcriber) -> None:
    """A transcriber that is ready serves under its service's name."""
    assert await _health(transcriber) == health_pb2.HealthCheckResponse.SERVING


async def test_a_frozen_engine_is_replaced(tmp_path: Path, lecture: str) -> None:
    """An engine that gets on with nothing is killed, and its work is done by the next one."""
    async with running_transcriber(tmp_path, silence_seconds=3) as frozen:
        call = frozen.transcribe(lecture, "frozen")
        await wait_until(lambda: frozen.stage("frozen") == TRANSCRIBING)
        os.kill(frozen.children()["transcriber.engine"], signal.SIGSTOP)
        assert (await call).transcript.text


async def test_a_frozen_fetch_fails_as_such(tmp_path: Path, media: MediaServer) -> None:
    """A download that gets nowhere is given up, and with it a child that does not let go of it."""
    slow = media.serve("slow.mp4", Answer(drip=True))
    limits = {"silence_seconds": 1, "cancel_grace_seconds": 0.5}
    async with running_transcriber(tmp_path, **limits) as frozen:
        call = frozen.transcribe(slow, "frozen")
        asked = len(media.asked)
        await wait_until(lambda: len(media.asked) > asked)
        os.kill(frozen.children()["transcriber.fetch"], signal.SIGSTOP)
        error = (await call).error
    assert error.reason == "SOURCE_STALLED"
    assert error.retryable


async def test_children_are_replaced_while_they_work(tmp_path: Path, samples_url: str) -> None:
    """Children that have done their share make place for others, and no task notices."""
    async with running_transcriber(tmp_path, recycle_videos=1) as renewed:
        first = renewed.children()
        for number in range(2):
            url = f"{samples_url}/train.mp3"
            calls = [renewed.transcribe(url, f"{number} {slot}") for slot in range(2)]
            for call in calls:
                assert (await call).transcript.text
        await wait_until(lambda: not set(first.values()) & set(renewed.children().values()))


async def test_a_transcriber_that_cannot_work_says_so(tmp_path: Path, samples_url: str) -> None:
    """While its engine does not come back it offers no slots and does not serve."""
    model = tmp_path / "model"
    model.symlink_to(models.find(MODEL, tmp_path))
    async with running_transcriber(tmp_path, models=model) as broken:
        model.rename(tmp_path / "elsewhere")
        os.kill(broken.children()["transcriber.engine"], signal.SIGKILL)
        await wait_until(lambda: not broken.status.slots)
        assert await _health(broken) == health_pb2.HealthCheckResponse.NOT_SERVING
        (tmp_path / "elsewhere").rename(model)
        await wait_until(lambda: broken.status.slots, 30)
        answer = await broken.transcribe(f"{samples_url}/train.mp3", "again", model=str(model))
        assert answer.transcript.text


async def test_sigterm_drains(tmp_path: Path, lecture: str) -> None:
    """A transcriber that is to stop finishes what fits into its grace, and leaves nothing."""
    async with running_transcriber(tmp_path, drain_grace_seconds=60) as leaving:
        running = leaving.transcribe(lecture, "last")
        await wait_until(lambda: leaving.stage("last") == TRANSCRIBING)
        leaving.terminate()
        await wait_until(lambda: leaving.status.draining)
        late = await refusal(leaving.transcribe(lecture, "late"))
        assert late == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert (await running).transcript.text
        assert await leaving.exit_status() == 0
        assert list(leaving.work_dir.iterdir()) == []


async def test_work_beyond_the_grace_is_handed_back(tmp_path: Path, lecture: str) -> None:
    """What does not end in time is refused as draining, for another transcriber to do."""
    async with running_transcriber(tmp_path, drain_grace_seconds=0) as leaving:
        running = leaving.transcribe(lecture, "cut off")
        await wait_until(lambda: leaving.stage("cut off") == TRANSCRIBING)
        leaving.terminate()
        assert await refusal(running) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert await leaving.exit_status() == 0


async def test_children_die_with_their_parent(tmp_path: Path) -> None:
    """A killed transcriber leaves no process, and the scratch of the next one removes its files."""
    async with running_transcriber(tmp_path) as killed:
        children = killed.children().values()
        killed.process.kill()
        await wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    with Scratch(killed.work_dir):
        assert len(list(killed.work_dir.iterdir())) == 1


async def test_a_model_that_cannot_be_loaded_ends_the_start(tmp_path: Path) -> None:
    """An operator who asks for a model that is nowhere reads a sentence, and no traceback."""
    process = await start(tmp_path, models="no-such-model")
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("The model no-such-model cannot be loaded")
    assert "Traceback" not in errors.decode()


async def test_a_device_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    """An operator who asks for a GPU where there is none reads what CUDA says of it."""
    process = await start(tmp_path, device="cuda:99")
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith(f"The model {MODEL} cannot be loaded: CUDA failed")
    assert "Traceback" not in errors.decode()


# A user namespace in which nobody gets a network namespace, as under Docker's default profile.
WITHOUT_NAMESPACES = (
    *("unshare", "--user", "--map-root-user", "sh", "-c"),
    'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"',
    "sh",
)


@pytest.mark.needs_namespaces
async def test_a_network_of_its_own_can_be_demanded(tmp_path: Path, samples_url: str) -> None:
    """A transcriber that has to give its fetch child one works where the system does."""
    async with running_transcriber(tmp_path, require_network_namespace=True) as confined:
        assert confined.network("transcriber.fetch") != confined.network("transcriber.engine")
        assert (await confined.transcribe(f"{samples_url}/train.mp3", "own")).transcript.text


@pytest.mark.needs_namespaces
async def test_without_a_demanded_network_nothing_starts(tmp_path: Path) -> None:
    """Where the system gives none, the operator reads a sentence, and nothing is fetched."""
    process = await start(tmp_path, within=WITHOUT_NAMESPACES, require_network_namespace=True)
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("This machine gives the process that fetches no network")
    assert "TRANSCRIBER_REQUIRE_NETWORK_NAMESPACE" in errors.decode()
    assert "Traceback" not in errors.decode()


@pytest.mark.needs_namespaces
async def test_without_a_network_of_its_own_the_log_says_so(tmp_path: Path) -> None:
    """Where none is demanded and none given, the transcriber works, and warns at its start."""
    process = await start(tmp_path, within=WITHOUT_NAMESPACES)
    assert process.stderr is not None
    while b"gives no network namespace" not in (line := await process.stderr.readline()):
        assert line, "it has ended"
    while b'"ready"' not in (line := await process.stderr.readline()):
        assert line, "it has ended"
    process.terminate()
    await process.communicate()
