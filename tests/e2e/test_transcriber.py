"""A real transcriber, the real model and real HTTP: what becomes of a task."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract

from tests.conftest import Sample
from tests.e2e.transcriber import Transcriber, refusal, running_transcriber, words_of
from tests.media import Answer, MediaServer, encode, tone
from tests.support import wait_until

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


@pytest.mark.parametrize("name", ["lighthouse.mp4", "bread.webm", "rain.m4a", "train.mp3"])
async def test_speech_becomes_text(
    transcriber: Transcriber, samples_url: str, samples: dict[str, Sample], name: str
) -> None:
    """Each container that users have gives its words, and says what made them."""
    sample = samples[name]
    answer = await transcriber.transcribe(f"{samples_url}/{name}", name, beam_size=5)
    transcript = answer.transcript
    assert len(words_of(transcript.text) ^ words_of(sample.text)) <= 2
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


async def test_progress_is_pushed(transcriber: Transcriber, course: str) -> None:
    """Title, length and audio done arrive while the task runs, and never fall."""
    before = len(transcriber.seen)
    answer = await transcriber.transcribe(course, "progress")
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
    code, reason = await refusal(transcriber.transcribe(lecture, "slot-4"))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "BUSY")
    for name in names:
        await transcriber.stub.CancelTask(contract.CancelTaskRequest(task_id=name, epoch=1))
    assert {await refusal(call) for call in calls} == {
        (grpc.StatusCode.CANCELLED, "TASK_CANCELLED")
    }


@pytest.mark.parametrize(("name", "late_seconds"), [("slow", 0.0), ("late", 0.5)])
async def test_cancel_stops_a_slow_download(
    transcriber: Transcriber, media: MediaServer, name: str, late_seconds: float
) -> None:
    """A site that sends a byte now and then does not keep a task running, nor one that is late."""
    url = media.serve(f"{name}.mp4", Answer(drip=True, late_seconds=late_seconds))
    call = transcriber.transcribe(url, name)
    await wait_until(lambda: media.asked.count(f"/{name}.mp4") >= 2)
    await transcriber.stub.CancelTask(contract.CancelTaskRequest(task_id=name, epoch=1))
    assert await refusal(call) == (grpc.StatusCode.CANCELLED, "TASK_CANCELLED")
    await wait_until(lambda: not transcriber.left_over(), 5)


async def test_a_higher_epoch_adopts_the_work(transcriber: Transcriber, lecture: str) -> None:
    """The later call gets the outcome, the earlier one ends, the media is fetched once."""
    first = transcriber.transcribe(lecture, "adopted", epoch=1)
    await wait_until(lambda: transcriber.stage("adopted") == TRANSCRIBING)
    second = transcriber.transcribe(lecture, "adopted", epoch=2)
    assert await refusal(first) == (grpc.StatusCode.ABORTED, "ADOPTED")
    third = transcriber.transcribe(lecture, "adopted", epoch=1)
    assert await refusal(third) == (grpc.StatusCode.ABORTED, "STALE_EPOCH")
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


async def test_nothing_is_left_of_ended_tasks(transcriber: Transcriber) -> None:
    """Media and samples are removed when a task ends, however it ended."""
    await wait_until(lambda: not transcriber.left_over())


async def test_cancelled_work_leaves_its_media_no_longer(
    transcriber: Transcriber, lecture: str
) -> None:
    """When the engine has let go of a cancelled task, its files are gone."""
    call = transcriber.transcribe(lecture, "let go")
    await wait_until(lambda: transcriber.stage("let go") == TRANSCRIBING)
    await transcriber.stub.CancelTask(contract.CancelTaskRequest(task_id="let go", epoch=1))
    assert await refusal(call) == (grpc.StatusCode.CANCELLED, "TASK_CANCELLED")
    await wait_until(lambda: not transcriber.left_over(), 5)


async def test_a_source_that_never_ends_is_given_up(tmp_path: Path, media: MediaServer) -> None:
    """Fetching has a time limit that a trickle of bytes does not extend."""
    slow = media.serve("slow.mp4", Answer(drip=True))
    async with running_transcriber(tmp_path, fetch_timeout_seconds=2) as hasty:
        error = (await hasty.transcribe(slow, "endless")).error
    assert error.reason == "SOURCE_TIMED_OUT"
    assert error.retryable
