"""Rows of many tasks on one device that fails, runs out of memory and sees tasks cancelled."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from hypothesis import given, settings
from hypothesis import strategies as st

from transcriber.engine.decoding import Decoded
from transcriber.engine.device import Device, Lane
from transcriber.engine.listening import Listener
from transcriber.engine.plan import Plan
from transcriber.engine.recognition import Recognition, Task
from transcriber.engine.rows import Decoding, Model, Row
from transcriber.engine.transcription import Transcription
from transcriber.engine.utterances import Utterance
from transcriber.engine.windows import SAMPLE_RATE, Window
from transcriber.engine.wording import Wording
from transcriber.jobs import JobCancelled

TASKS = 3
WINDOWS = 6
MOST_ROWS = 4
SHORTEST_FRAMES = 50
FRAME = SAMPLE_RATE // 100

WHISPER: Any = SimpleNamespace(feature_extractor=FeatureExtractor())
TOKENIZER: Any = None
MODEL = Model("scripted", "", WHISPER, np.zeros((1, 1500, 1), np.float32))
WORDING = Wording(TOKENIZER, (), Decoding(MODEL, beam_size=1, prompt_length=0))


class Script:
    """What the device does. A row is known by its length, which no other row has."""

    def __init__(self, fitting: int, bad: frozenset[int], cancels: dict[int, int]) -> None:
        self.lanes: dict[int, Lane] = {}
        self.cancelled: set[int] = set()
        self.decoded: Counter[int] = Counter()
        self._fitting = fitting
        self._bad = bad
        self._cancels = cancels
        self._calls = 0
        self._lock = threading.Lock()

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        with self._lock:
            self._calls += 1
            self._cancel()
            if len(rows) > self._fitting:
                raise RuntimeError("CUDA failed with error out of memory")
            if self._bad.intersection(row.frames for row in rows):
                raise ValueError("a bad row")
            self.decoded.update(row.frames for row in rows)
        return [_heard(row.frames) for row in rows]

    def _cancel(self) -> None:
        task = self._cancels.get(self._calls)
        if task is not None and task in self.lanes:
            self.cancelled.add(task)
            self.lanes[task].close()

    def check(self, task: int) -> None:
        if task in self.cancelled:
            raise JobCancelled


class Repeating(Script):
    """Repeats itself in rows of over eight seconds."""

    def __init__(self) -> None:
        super().__init__(MOST_ROWS, frozenset(), {})

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        heard = super().decode(rows)
        return [
            replace(one, text="again and " * 40) if row.frames > 800 else one
            for row, one in zip(rows, heard, strict=True)
        ]


class Stage:
    """One device for all examples: its threads never end."""

    def __init__(self) -> None:
        self.script = Script(MOST_ROWS, frozenset(), {})
        plan = Plan("cpu", "int8", workers=2, threads=1, most_rows=MOST_ROWS, window_seconds=15)
        self.device = Device(plan, lambda rows: self.script.decode(rows))


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Listener:
    path = tmp_path_factory.mktemp("device") / "samples"
    path.write_bytes(bytes(2 * 60 * SAMPLE_RATE))
    return Listener(path, vad_filter=False, window_seconds=15)


def _heard(frames: int) -> Decoded:
    return Decoded([Utterance(0, frames / 100, (frames,))], "words", -0.1, 0.1)


def _windows(task: int) -> list[Window]:
    lengths = [SHORTEST_FRAMES + TASKS * number + task for number in range(WINDOWS)]
    return [
        Window(((SAMPLE_RATE * number, SAMPLE_RATE * number + length * FRAME),))
        for number, length in enumerate(lengths)
    ]


def _frames(window: Window) -> int:
    return window.length // FRAME


def _transcribe(stage: Stage, listener: Listener, number: int) -> Transcription:
    transcription = Transcription(lambda tokens: str(tokens[0]))
    script = stage.script
    with stage.device.lane() as lane:
        script.lanes[number] = lane
        task = Task(MODEL, listener, lane, lambda seconds: None, lambda: script.check(number))
        Recognition(task, WORDING, transcription).run(iter(_windows(number)))
    return transcription


@settings(max_examples=25, deadline=None)
@given(
    fitting=st.integers(1, MOST_ROWS),
    bad=st.frozensets(st.integers(SHORTEST_FRAMES, SHORTEST_FRAMES + TASKS * WINDOWS), max_size=6),
    cancels=st.dictionaries(st.integers(1, 12), st.integers(0, TASKS - 1), max_size=2),
)
def test_every_window_is_decoded_once_or_reported(
    stage: Stage, listener: Listener, fitting: int, bad: frozenset[int], cancels: dict[int, int]
) -> None:
    """Whatever fails or is cancelled: each text once, at its own time, in order; the rest named."""
    script = stage.script = Script(fitting, bad, cancels)
    with ThreadPoolExecutor(TASKS) as threads:
        ends = [threads.submit(_transcribe, stage, listener, number) for number in range(TASKS)]
    assert max(script.decoded.values(), default=1) == 1
    for number, end in enumerate(ends):
        if number in script.cancelled:
            assert end.exception() is None or isinstance(end.exception(), JobCancelled)
        else:
            _assert_complete(end, _windows(number), bad)


def _assert_complete(
    end: "Future[Transcription]", windows: list[Window], bad: frozenset[int]
) -> None:
    good = [window for window in windows if _frames(window) not in bad]
    if not good:
        assert isinstance(end.exception(), ValueError)
        return
    transcription = end.result()
    told = [(one.start_offset.ToMilliseconds() / 1000, one.text) for one in transcription.segments]
    assert told == [(window.start / SAMPLE_RATE, str(_frames(window))) for window in good]
    lost = [window.stretches[0] for window in windows if window not in good]
    assert transcription.undecoded == lost


def test_nonsense_is_heard_in_halves(stage: Stage, listener: Listener) -> None:
    """A long row that repeats itself is cut until its parts make sense; none of it is left out."""
    stage.script = Repeating()
    transcription = Transcription(lambda tokens: str(tokens[0]))
    window = Window(((0, 20 * SAMPLE_RATE),))
    with stage.device.lane() as lane:
        task = Task(MODEL, listener, lane, lambda seconds: None, lambda: None)
        Recognition(task, WORDING, transcription).run(iter([window]))
    frames = [int(one.text) for one in transcription.segments]
    assert len(frames) > 1
    assert sum(frames) == pytest.approx(20 * 100, abs=len(frames))
    assert not transcription.undecoded


def test_what_did_not_fit_is_remembered() -> None:
    """Once memory has run out, the model's batches stay as small as those that went well."""
    plan = Plan("cuda", "float16", workers=1, threads=0, most_rows=8, window_seconds=24)
    script = Script(3, frozenset(), {})
    all_wait = threading.Event()

    def decode(rows: Sequence[Row]) -> list[Decoded]:
        all_wait.wait()
        return script.decode(rows)

    device = Device(plan, decode)
    rows = [Row(WORDING.decoding, np.zeros((80, 100), np.float32), TOKENIZER) for _ in range(8)]
    with device.lane() as lane:
        for row in rows:
            lane.submit(row)
        all_wait.set()
        answers = [lane.receive() for _ in rows]
    assert all(answer is not None and isinstance(answer[1], Decoded) for answer in answers)
    assert device.room(rows[0]) <= 3
