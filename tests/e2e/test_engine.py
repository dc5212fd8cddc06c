"""The engine child with the real models: what batches of many files come to."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.v1 import batch_pb2

from tests.conftest import Sample
from tests.e2e.transcriber import Transcriber, running_transcriber, words_of
from tests.media import RATE, Answer, MediaServer, decode, encode
from tests.support import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ["lighthouse.mp4", "bread.webm", "rain.m4a", "train.mp3"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def transcriber(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Transcriber]:
    directory = tmp_path_factory.mktemp("engine")
    async with running_transcriber(directory, models="tiny.en,base", slots=8) as running:
        yield running


async def test_files_side_by_side_keep_their_texts(
    transcriber: Transcriber, samples_url: str, samples: dict[str, Sample]
) -> None:
    """Rows of different files share batches, and no word ends up in another file."""
    answers = await asyncio.gather(
        *(
            transcriber.transcribe(f"{samples_url}/{name}", f"{name} {turn}", beam_size=5)
            for name in NAMES
            for turn in range(2)
        )
    )
    for answer, name in zip(answers, [name for name in NAMES for _ in range(2)], strict=True):
        assert len(words_of(answer.transcript.text) ^ words_of(samples[name].text)) <= 2
        assert not answer.transcript.undecoded


async def test_neighbours_change_no_word(transcriber: Transcriber, samples_url: str) -> None:
    """A file has the same text and times alone and among others."""
    urls = [f"{samples_url}/{name}" for name in NAMES]
    alone = [await transcriber.transcribe(url, f"{url} alone", beam_size=5) for url in urls]
    together = await asyncio.gather(
        *(transcriber.transcribe(url, f"{url} together", beam_size=5) for url in urls)
    )
    for one, other in zip(alone, together, strict=True):
        assert [(said.text, said.end_offset) for said in one.transcript.segments] == [
            (said.text, said.end_offset) for said in other.transcript.segments
        ]


async def test_long_pauses_lose_no_sentence(
    transcriber: Transcriber, media: MediaServer, samples: dict[str, Sample]
) -> None:
    """What is said after half a minute of silence is there, with times in order."""
    silence = np.zeros(30 * RATE, np.int16)
    parts = [part for name in NAMES for part in (decode(samples[name].path), silence)]
    url = media.serve("pauses.wav", Answer(encode(np.concatenate(parts), "wav"), "audio/wav"))
    transcript = (await transcriber.transcribe(url, "pauses", beam_size=5)).transcript
    said = set.union(*(words_of(samples[name].text) for name in NAMES))
    assert len(words_of(transcript.text) ^ said) <= 4
    ends = [
        time.ToMilliseconds()
        for segment in transcript.segments
        for time in (segment.start_offset, segment.end_offset)
    ]
    assert ends == sorted(ends)


async def test_a_long_file_does_not_starve_a_short_one(
    transcriber: Transcriber, media: MediaServer, samples: dict[str, Sample], samples_url: str
) -> None:
    """A clip that comes while a long file is decoded is done before it."""
    speech = np.concatenate([decode(samples[name].path) for name in NAMES])
    url = media.serve("long.wav", Answer(encode(np.tile(speech, 8), "wav"), "audio/wav"))
    long = transcriber.transcribe(url, "long")
    await wait_until(lambda: transcriber.stage("long") == contract.TASK_STAGE_TRANSCRIBING)
    short = await transcriber.transcribe(f"{samples_url}/train.mp3", "short")
    assert short.transcript.text
    assert not long.done()
    await transcriber.stub.CancelTask(contract.CancelTaskRequest(task_id="long", epoch=1))


async def test_options_of_neighbours_do_not_mix(transcriber: Transcriber, samples_url: str) -> None:
    """Tasks with other prompts, words and models run side by side, each as it was asked."""
    url = f"{samples_url}/train.mp3"
    prompted, worded, heard, translated = await asyncio.gather(
        transcriber.transcribe(url, "prompted", initial_prompt="Railways.", hotwords=["platform"]),
        transcriber.transcribe(url, "worded", word_timestamps=True),
        transcriber.transcribe(url, "heard", model="base", language="auto"),
        transcriber.stub.Transcribe(_translation(url), timeout=60),
    )
    for answer in (prompted, worded, heard, translated):
        assert {"train", "platform"} <= words_of(answer.transcript.text)
    assert not prompted.transcript.segments[0].words
    assert worded.transcript.segments[0].words
    assert heard.transcript.language_code == "en"
    assert heard.transcript.language_probability > 0.5


def _translation(url: str) -> contract.TranscribeRequest:
    return contract.TranscribeRequest(
        task_id="translated",
        epoch=1,
        url=url,
        model="base",
        language="en",
        options=batch_pb2.TranscribeOptions(
            task=batch_pb2.TRANSCRIBE_TASK_TRANSLATE, beam_size=1, vad_filter=True
        ),
    )


async def test_an_uncertain_language_fails_where_certainty_is_asked(
    transcriber: Transcriber, samples_url: str
) -> None:
    """The error names the guess and its probability; a lower demand is met by the same file."""
    url = f"{samples_url}/train.mp3"
    asked: dict[str, Any] = {"model": "base", "language": "auto"}
    failed, met = await asyncio.gather(
        transcriber.transcribe(url, "strict", min_language_confidence=1, **asked),
        transcriber.transcribe(url, "lenient", min_language_confidence=0.5, **asked),
    )
    assert failed.error.reason == "LANGUAGE_UNCERTAIN"
    assert failed.error.metadata["language"] == "en"
    assert 0.5 < float(failed.error.metadata["probability"]) < 1
    assert not failed.error.retryable
    assert met.transcript.language_code == "en"


async def test_languages(transcriber: Transcriber, samples_url: str) -> None:
    """A multilingual model hears which language is spoken; each refuses what it was not taught."""
    url = f"{samples_url}/rain.m4a"
    heard, refused, too_new = await asyncio.gather(
        transcriber.transcribe(url, "any language", model="base", language="auto"),
        transcriber.transcribe(url, "not taught", model="tiny.en", language="de"),
        transcriber.transcribe(url, "too new", model="base", language="yue"),
    )
    assert heard.transcript.language_code == "en"
    assert heard.transcript.language_probability > 0.5
    assert not heard.transcript.warnings
    assert refused.error.reason == "LANGUAGE_NOT_SUPPORTED"
    assert too_new.error.reason == "LANGUAGE_NOT_SUPPORTED"


async def test_a_moment_of_sound_is_no_crash(transcriber: Transcriber, media: MediaServer) -> None:
    """Ten milliseconds without a voice filter, with word times: the engine lives on."""
    noise = np.random.default_rng(1).integers(-9000, 9000, RATE // 100).astype(np.int16)
    url = media.serve("moment.wav", Answer(encode(noise, "wav"), "audio/wav"))
    before = transcriber.children()
    answer = await transcriber.transcribe(url, "moment", vad_filter=False, word_timestamps=True)
    assert answer.WhichOneof("outcome") == "transcript"
    assert transcriber.children() == before


async def test_idle_models_are_unloaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A model that nobody uses leaves the memory, and the status says so."""
    directory = tmp_path_factory.mktemp("idle")
    async with running_transcriber(directory, model_idle_seconds=0.1) as idle:
        await wait_until(lambda: not idle.is_loaded)
