"""A real transcriber, the real model and real HTTP: what becomes of a task."""

import asyncio
import gzip
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit import status
from tests.conftest import Sample
from tests.e2e.transcriber import MODEL, Transcriber, running_transcriber, start
from tests.media import Answer, MediaServer, decode, encode, media_server, tone
from tests.support import wait_until
from transcriber import models

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = {"max_media_bytes": 4_000_000, "max_audio_seconds": 200}
FETCHING = contract.TASK_STAGE_FETCHING
TRANSCRIBING = contract.TASK_STAGE_TRANSCRIBING


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def transcriber(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Transcriber]:
    """One for all tests of this module that leave it as they found it."""
    directory = tmp_path_factory.mktemp("transcriber")
    async with running_transcriber(directory, **LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def media() -> Iterator[MediaServer]:
    with media_server() as server:
        yield server


@pytest.fixture(scope="module")
def lecture(media: MediaServer, samples: dict[str, Sample]) -> str:
    """Address of a minute of speech: long enough to be caught at work."""
    speech = np.concatenate([decode(clip.path) for clip in samples.values() if clip.audio])
    return media.serve("lecture.mp3", Answer(encode(np.tile(speech, 2), "mp3"), "audio/mpeg"))


def _words(text: str) -> list[str]:
    return "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ").split()


def _is_loaded(transcriber: Transcriber) -> bool:
    return any(model.loaded for model in transcriber.status.models)


async def _health(transcriber: Transcriber) -> int:
    stub: Any = health_pb2_grpc.HealthStub(transcriber.channel)  # Its types lack the methods.
    asked = health_pb2.HealthCheckRequest(service="batchscribe.transcriber.v1.TranscriberService")
    answer: int = (await stub.Check(asked)).status
    return answer


async def _refusal(call: "grpc.aio.UnaryUnaryCall[Any, Any]") -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), status.reason_of(caught.value)


@pytest.mark.parametrize("name", ["lighthouse.mp4", "bread.webm", "rain.m4a", "train.mp3"])
async def test_speech_becomes_text(
    transcriber: Transcriber, samples_url: str, samples: dict[str, Sample], name: str
) -> None:
    """Each container that users have gives its words, and says what made them."""
    sample = samples[name]
    answer = await transcriber.transcribe(f"{samples_url}/{name}", name, beam_size=5)
    transcript = answer.transcript
    heard, said = _words(transcript.text), _words(sample.text)
    assert len(set(heard) ^ set(said)) <= 2
    assert transcript.source.title == sample.title
    assert transcript.language_code == "en"
    assert transcript.segments[0].avg_logprob < 0
    assert transcript.provenance.model_sha256.startswith("1a5afae0")
    assert transcript.provenance.device == "cpu/int8"
    assert transcript.provenance.versions["faster-whisper"]
    assert transcript.provenance.timings.transcribe.ToMilliseconds() > 0


async def test_word_times_on_request(transcriber: Transcriber, samples_url: str) -> None:
    """Words come with times that grow and stay within the audio."""
    answer = await transcriber.transcribe(f"{samples_url}/train.mp3", "words", word_timestamps=True)
    words = [word for segment in answer.transcript.segments for word in segment.words]
    starts = [word.start_offset.ToMilliseconds() for word in words]
    assert len(words) > 10
    assert starts == sorted(starts)
    assert words[-1].end_offset.ToMilliseconds() <= answer.transcript.duration.ToMilliseconds()


async def test_english_is_assumed_aloud(transcriber: Transcriber, samples_url: str) -> None:
    """An English-only model that is to detect the language says that it does not."""
    answer = await transcriber.transcribe(f"{samples_url}/train.mp3", "assumed", language="auto")
    assert [warning.reason for warning in answer.transcript.warnings] == ["ENGLISH_ASSUMED"]


async def test_silence_is_an_empty_transcript(transcriber: Transcriber, media: MediaServer) -> None:
    """Where nobody speaks there is no text, and that is no failure."""
    url = media.serve("silence.mp4", Answer(encode(tone(8, loudness=0))))
    answer = await transcriber.transcribe(url, "silence")
    assert answer.WhichOneof("outcome") == "transcript"
    assert answer.transcript.text == ""
    assert answer.transcript.duration.ToMilliseconds() == pytest.approx(8000, abs=150)


SPOKEN = encode(tone(6))
# A page of 80 MB in 80 kB.
BOMB = gzip.compress(b"<!doctype html>" + b" " * 80_000_000)
ODD = {
    "missing": (Answer(b"no", "text/plain", 404), "SOURCE_NOT_FOUND"),
    "gone": (Answer(b"no", "text/plain", 410), "SOURCE_REMOVED"),
    "forbidden": (Answer(b"no", "text/plain", 403), "SOURCE_FORBIDDEN"),
    "limited": (Answer(b"no", "text/plain", 429), "SOURCE_RATE_LIMITED"),
    "broken": (Answer(b"no", "text/plain", 503), "SOURCE_FETCH_FAILED"),
    "page": (Answer(b"<!doctype html><p>hello", "text/html"), "UNSUPPORTED_MEDIA"),
    "page.mp4": (Answer(b"<!doctype html><p>hello"), "UNSUPPORTED_MEDIA"),
    "zero.mp4": (Answer(b""), "MEDIA_EMPTY"),
    "zero": (Answer(b"", "application/octet-stream"), "MEDIA_EMPTY"),
    "random.mp4": (Answer(bytes(range(256)) * 99), "UNSUPPORTED_MEDIA"),
    "random": (Answer(bytes(range(256)) * 99, "application/octet-stream"), "UNSUPPORTED_MEDIA"),
    "cut.mp4": (Answer(SPOKEN[: len(SPOKEN) // 2]), "MEDIA_TRUNCATED"),
    "short.mp4": (
        Answer(SPOKEN[:5000], headers={"Content-Length": str(len(SPOKEN))}),
        "SOURCE_FETCH_FAILED",
    ),
    "huge.mp4": (Answer(bytes(4_000_001)), "MEDIA_TOO_LARGE"),
    "flood.mp4": (Answer(flood=True), "MEDIA_TOO_LARGE"),
    "bomb": (
        Answer(BOMB, "text/html", headers={"Content-Encoding": "gzip"}),
        "MEDIA_TOO_LARGE",
    ),
    "live.m3u8": (
        Answer(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n", "audio/mpegurl"),
        "MEDIA_IS_LIVE",
    ),
    "local.m3u8": (
        Answer(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "audio/mpegurl"),
        "SOURCE_UNAVAILABLE",
    ),
}


@pytest.mark.parametrize("path", ODD)
async def test_bad_sources_fail_with_their_own_reason(
    transcriber: Transcriber, media: MediaServer, path: str
) -> None:
    """Each kind of bad source is told from the others, in a sentence with a hint."""
    answer, reason = ODD[path]
    error = (await transcriber.transcribe(media.serve(path, answer), path)).error
    assert error.reason == reason
    assert error.message.endswith(".")
    assert error.hint.endswith(".")


async def test_audio_beyond_the_limit_is_refused(
    transcriber: Transcriber, media: MediaServer
) -> None:
    """The sentence names the limit."""
    url = media.serve("long.mp3", Answer(encode(tone(201), "mp3"), "audio/mpeg"))
    error = (await transcriber.transcribe(url, "long")).error
    assert error.reason == "MEDIA_TOO_LONG"
    assert "200 s" in error.message


async def test_a_picture_without_sound_has_no_audio(
    transcriber: Transcriber, samples_url: str
) -> None:
    """The sample without an audio track fails as such."""
    answer = await transcriber.transcribe(f"{samples_url}/silent.mp4", "no-audio")
    assert answer.error.reason == "NO_AUDIO"


@pytest.mark.parametrize("content_type", ["video/mp4", "text/plain", "application/octet-stream"])
async def test_a_media_file_is_known_by_its_bytes(
    transcriber: Transcriber, media: MediaServer, content_type: str
) -> None:
    """A path without an extension and a wrong content type do not matter."""
    url = media.serve("watch.php", Answer(SPOKEN, content_type))
    answer = await transcriber.transcribe(url, content_type)
    assert answer.WhichOneof("outcome") == "transcript"


async def test_a_model_that_is_not_offered(transcriber: Transcriber, samples_url: str) -> None:
    """The failure names the model."""
    answer = await transcriber.transcribe(f"{samples_url}/train.mp3", "model", model="huge")
    assert answer.error.reason == "MODEL_UNAVAILABLE"
    assert "huge" in answer.error.message


async def test_progress_is_pushed(transcriber: Transcriber, lecture: str) -> None:
    """Title, length and audio done arrive while the task runs, and never fall."""
    before = len(transcriber.seen)
    answer = await transcriber.transcribe(lecture, "progress")
    tasks = [
        task
        for seen in transcriber.seen[before:]
        for task in seen.tasks
        if task.task_id == "progress"
    ]
    done = [task.audio_processed.ToMilliseconds() for task in tasks]
    assert [task.stage for task in tasks] == sorted(task.stage for task in tasks)
    assert tasks[-1].audio_duration == answer.transcript.duration
    assert done == sorted(done)
    assert len(set(done)) >= 3


async def test_slots_bound_what_is_accepted(transcriber: Transcriber, lecture: str) -> None:
    """Four run side by side; the fifth is told to come back, and nothing was done for it."""
    names = [f"slot-{n}" for n in range(4)]
    calls = [transcriber.transcribe(lecture, name) for name in names]
    await wait_until(lambda: all(map(transcriber.stage, names)))
    code, reason = await _refusal(transcriber.transcribe(lecture, "slot-4"))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "BUSY")
    for name in names:
        await transcriber.stub.CancelTask(contract.CancelTaskRequest(task_id=name, epoch=1))
    assert {await _refusal(call) for call in calls} == {
        (grpc.StatusCode.CANCELLED, "TASK_CANCELLED")
    }


async def test_cancel_stops_a_slow_download(transcriber: Transcriber, media: MediaServer) -> None:
    """A site that sends a byte now and then does not keep a task from stopping."""
    url = media.serve("slow.mp4", Answer(drip=True))
    call = transcriber.transcribe(url, "slow")
    await wait_until(lambda: media.asked.count("/slow.mp4") >= 2)
    await transcriber.stub.CancelTask(contract.CancelTaskRequest(task_id="slow", epoch=1))
    assert await _refusal(call) == (grpc.StatusCode.CANCELLED, "TASK_CANCELLED")
    await wait_until(lambda: not transcriber.left_over(), 5)


async def test_a_higher_epoch_adopts_the_work(transcriber: Transcriber, lecture: str) -> None:
    """The later call gets the outcome, the earlier one ends, the media is fetched once."""
    first = transcriber.transcribe(lecture, "adopted", epoch=1)
    await wait_until(lambda: transcriber.stage("adopted") == TRANSCRIBING)
    second = transcriber.transcribe(lecture, "adopted", epoch=2)
    assert await _refusal(first) == (grpc.StatusCode.ABORTED, "ADOPTED")
    third = transcriber.transcribe(lecture, "adopted", epoch=1)
    assert await _refusal(third) == (grpc.StatusCode.ABORTED, "STALE_EPOCH")
    assert (await second).transcript.text


async def test_work_outlives_its_call(transcriber: Transcriber, lecture: str) -> None:
    """A call that breaks leaves an orphan, whose transcript the next epoch gets at once."""
    call = transcriber.transcribe(lecture, "orphan", epoch=1)
    await wait_until(lambda: transcriber.stage("orphan") == TRANSCRIBING)
    call.cancel()
    answer = await transcriber.transcribe(lecture, "orphan", epoch=2)
    assert answer.transcript.text
    again = await transcriber.transcribe(lecture, "orphan", epoch=3)
    assert again.transcript.text == answer.transcript.text


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


async def test_health_is_answered_while_the_engine_is_away(
    transcriber: Transcriber, lecture: str
) -> None:
    """A child that comes back is no reason to take the transcriber out of service."""
    call = transcriber.transcribe(lecture, "engine away")
    await wait_until(lambda: transcriber.stage("engine away") == TRANSCRIBING)
    os.kill(transcriber.children()["transcriber.engine"], signal.SIGSEGV)
    await wait_until(lambda: not _is_loaded(transcriber))
    while not _is_loaded(transcriber):
        assert await _health(transcriber) == health_pb2.HealthCheckResponse.SERVING
        assert transcriber.status.slots == 4
    assert (await call).transcript.text


async def test_a_task_that_kills_its_child_is_found_out(
    transcriber: Transcriber, media: MediaServer
) -> None:
    """A task whose child dies every time has failed, and the next task works again."""
    call = transcriber.transcribe(media.serve("deadly.mp4", Answer(drip=True)), "deadly")
    asked = len(media.asked)

    def is_fetching() -> bool:
        return len(media.asked) > asked

    for _ in range(3):
        await wait_until(is_fetching)
        asked = len(media.asked)
        os.kill(transcriber.children()["transcriber.fetch"], signal.SIGKILL)
    error = (await call).error
    assert error.reason == "WORKER_CRASHED"
    assert error.retryable


async def test_nothing_is_left_of_ended_tasks(transcriber: Transcriber) -> None:
    """Media and samples are removed when a task ends, however it ended."""
    await wait_until(lambda: not transcriber.left_over())


async def test_health_is_known_by_service(transcriber: Transcriber) -> None:
    """A transcriber that is ready serves under its service's name."""
    assert await _health(transcriber) == health_pb2.HealthCheckResponse.SERVING


async def test_cancelled_work_leaves_its_media_no_longer(
    transcriber: Transcriber, lecture: str
) -> None:
    """When the engine has let go of a cancelled task, its files are gone."""
    call = transcriber.transcribe(lecture, "let go")
    await wait_until(lambda: transcriber.stage("let go") == TRANSCRIBING)
    await transcriber.stub.CancelTask(contract.CancelTaskRequest(task_id="let go", epoch=1))
    assert await _refusal(call) == (grpc.StatusCode.CANCELLED, "TASK_CANCELLED")
    await wait_until(lambda: not transcriber.left_over(), 5)


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
        refusal = await _refusal(leaving.transcribe(lecture, "late"))
        assert refusal == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert (await running).transcript.text
        assert await leaving.exit_status() == 0
        assert list(leaving.work_dir.iterdir()) == []


async def test_work_beyond_the_grace_is_handed_back(tmp_path: Path, lecture: str) -> None:
    """What does not end in time is refused as draining, for another transcriber to do."""
    async with running_transcriber(tmp_path, drain_grace_seconds=0) as leaving:
        running = leaving.transcribe(lecture, "cut off")
        await wait_until(lambda: leaving.stage("cut off") == TRANSCRIBING)
        leaving.terminate()
        assert await _refusal(running) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert await leaving.exit_status() == 0


async def test_children_die_with_their_parent(tmp_path: Path) -> None:
    """A killed transcriber leaves no process, and the next one removes its files."""
    async with running_transcriber(tmp_path) as killed:
        children = killed.children().values()
        killed.process.kill()
        await wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    async with running_transcriber(tmp_path) as next_one:
        assert len(list(next_one.work_dir.iterdir())) == 1


async def test_a_source_that_never_ends_is_given_up(tmp_path: Path, media: MediaServer) -> None:
    """Fetching has a time limit that a trickle of bytes does not extend."""
    slow = media.serve("slow.mp4", Answer(drip=True))
    async with running_transcriber(tmp_path, fetch_timeout_seconds=2) as hasty:
        error = (await hasty.transcribe(slow, "endless")).error
    assert error.reason == "SOURCE_TIMED_OUT"
    assert error.retryable


async def test_languages(tmp_path: Path, samples_url: str) -> None:
    """A multilingual model hears which language is spoken; each refuses what it was not taught."""
    url = f"{samples_url}/rain.m4a"
    async with running_transcriber(tmp_path, models="base,tiny.en") as able:
        heard, refused, too_new = await asyncio.gather(
            able.transcribe(url, "heard", model="base", language="auto"),
            able.transcribe(url, "refused", model="tiny.en", language="de"),
            able.transcribe(url, "too new", model="base", language="yue"),
        )
    assert heard.transcript.language_code == "en"
    assert heard.transcript.language_probability > 0.5
    assert not heard.transcript.warnings
    assert refused.error.reason == "LANGUAGE_NOT_SUPPORTED"
    assert too_new.error.reason == "LANGUAGE_NOT_SUPPORTED"


async def test_a_model_that_cannot_be_loaded_ends_the_start(tmp_path: Path) -> None:
    """An operator who asks for a model that is nowhere reads a sentence, and no traceback."""
    process = await start(tmp_path, models="no-such-model")
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("The model no-such-model cannot be loaded")
    assert "Traceback" not in errors.decode()
