"""One file's worth of work: its windows go to the device as rows, what was heard is gathered.

Few rows of a file wait at a time, so its length costs no memory; rows come back in any order.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from batchscribe.v1 import batch_pb2

from transcriber.engine import languages
from transcriber.engine.decoding import Decoded
from transcriber.engine.device import Answer, Lane
from transcriber.engine.languages import Language
from transcriber.engine.listening import Listener
from transcriber.engine.quality import Verdict, judge
from transcriber.engine.rows import Detection, Features, Model, Row
from transcriber.engine.transcription import Transcription
from transcriber.engine.windows import SAMPLE_RATE, Window
from transcriber.engine.wording import Wording, tokenizer_for, wording

# Rows of one task that wait or are decoded: enough for full batches, little memory.
_ROWS_AHEAD = 16
_LANGUAGE_WINDOWS = 3
# A row without sense is heard in halves; in less than this there is too little to make sense of.
_SHORTEST_HALVED_SECONDS = 6.0


@dataclass(frozen=True)
class Task:
    """One file on its way through one model.

    ``advance`` is told how many seconds of the file are done; ``check`` raises on cancel.
    """

    model: Model
    listener: Listener
    lane: Lane
    advance: Callable[[float], None]
    check: Callable[[], None]

    def features(self, window: Window) -> Features:
        self.check()
        return self.listener.features(window, self.model.whisper.feature_extractor)

    def receive(self) -> tuple[Row, Answer]:
        received = self.lane.receive()
        self.check()
        assert received is not None, "only a cancel closes a lane that is waited at"
        return received


def recognize(
    task: Task, options: batch_pb2.TranscribeOptions, asked: str
) -> tuple[Language, Transcription]:
    """Return what is said in the file. Raises what every row failed with, and VideoFailure."""
    windows = task.listener.windows()
    first = list(itertools.islice(windows, _LANGUAGE_WINDOWS))
    language = _detect(task, first) if asked == languages.AUTO else Language(asked)
    languages.require(language, options.min_language_confidence)
    transcription = Transcription()
    if first:
        asking = wording(task.model, options, language.code)
        transcription = Transcription(asking.text)
        Recognition(task, asking, transcription).run(itertools.chain(first, windows))
    task.advance(task.listener.seconds)
    return language, transcription


def _detect(task: Task, windows: Sequence[Window]) -> Language:
    """Return the language of ``windows``; none if there are none."""
    if not windows:
        return Language("")
    tokenizer = tokenizer_for(task.model, languages.ENGLISH, translate=False)
    for window in windows:
        task.lane.submit(Row(Detection(task.model), task.features(window), tokenizer))
    answers = [task.receive()[1] for _ in windows]
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return languages.choose([answer for answer in answers if isinstance(answer, dict)])


@dataclass
class _Work:
    """A window on its way; ``samples`` of the file are done when it is."""

    window: Window
    row: Row
    samples: int
    tried: list[Decoded] = field(default_factory=list)


class Recognition:
    """Feeds windows to the device, tries again what is doubtful, gathers the rest."""

    def __init__(self, task: Task, wording: Wording, transcription: Transcription) -> None:
        self._task = task
        self._wording = wording
        self._transcription = transcription
        self._works: dict[Row, _Work] = {}
        self._fed = 0
        self._done = 0

    def run(self, windows: Iterator[Window]) -> None:
        self._feed(windows)
        while self._works:
            row, answer = self._task.receive()
            work = self._works.pop(row)
            if isinstance(answer, Decoded):
                self._take(work, answer)
            elif isinstance(answer, Exception):
                self._transcription.lose(work.window, answer)
                self._end(work)
            self._feed(windows)
        self._transcription.check()

    def _feed(self, windows: Iterator[Window]) -> None:
        for window in itertools.islice(windows, max(0, _ROWS_AHEAD - len(self._works))):
            self._begin(window, window.end - self._fed)
            self._fed = window.end

    def _begin(self, window: Window, samples: int = 0) -> None:
        row = self._wording.row(self._task.features(window))
        self._send(_Work(window, row, samples))

    def _send(self, work: _Work) -> None:
        self._works[work.row] = work
        self._task.lane.submit(work.row)

    def _take(self, work: _Work, decoded: Decoded) -> None:
        work.tried.append(decoded)
        verdict = judge(decoded)
        if verdict is not Verdict.GOOD and not work.row.is_on_full_axis:
            work.row = self._wording.row(work.row.features, full_axis=True)
            self._send(work)
            return
        if verdict is Verdict.DOUBTFUL and work.window.seconds >= _SHORTEST_HALVED_SECONDS:
            parts = self._task.listener.halves(work.window)
        else:
            left = self._transcription.keep(work.window, work.tried)
            parts = list(filter(self._task.listener.is_speech, left))
        for part in parts:
            self._begin(part)
        self._end(work)

    def _end(self, work: _Work) -> None:
        self._done += work.samples
        self._task.advance(self._done / SAMPLE_RATE)
