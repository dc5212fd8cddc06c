"""One file's worth of work: its windows go to the device as rows, segments come back in order.

Every window ends as segments, as silence or in ``undecoded``; a stretch of it without text is
tried again as a window of its own.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from batchscribe.v1 import batch_pb2, transcript_pb2

from transcriber.engine import languages
from transcriber.engine.decoding import Decoded, Detection, Features, Model, Row
from transcriber.engine.device import Answer, Lane
from transcriber.engine.languages import Language
from transcriber.engine.listening import Listener
from transcriber.engine.quality import FIRST, Verdict, best, judge, next_attempt
from transcriber.engine.segments import in_order, segment
from transcriber.engine.windows import SAMPLE_RATE, Stretch, Window, holes
from transcriber.engine.wording import tokenizer_for, wording

# Rows of one task that wait or are decoded: enough for full batches, little memory.
_ROWS_AHEAD = 16
_LANGUAGE_WINDOWS = 3
# Shorter stretches without text are the pauses that are left around speech.
_SHORTEST_HOLE_SECONDS = 1.2


@dataclass(frozen=True)
class Recognized:
    """What came of a file."""

    language: Language
    segments: list[transcript_pb2.Segment]
    undecoded: list[Stretch]


@dataclass
class _Work:
    """A window on its way; ``samples`` of the file are done when it is."""

    window: Window
    row: Row
    samples: int = 0
    tried: list[Decoded] = field(default_factory=list)


class Recognition:
    """``advance`` is told how many seconds of the file are done, ``check`` raises on cancel."""

    def __init__(
        self,
        model: Model,
        listener: Listener,
        lane: Lane,
        advance: Callable[[float], None],
        check: Callable[[], None],
    ) -> None:
        self._model = model
        self._listener = listener
        self._lane = lane
        self._advance = advance
        self._check = check
        self._works: dict[Row, _Work] = {}
        self._fed = 0
        self._done = 0
        self._segments: list[transcript_pb2.Segment] = []
        self._undecoded: list[Stretch] = []
        self._errors: list[Exception] = []

    def run(self, options: batch_pb2.TranscribeOptions, language: str) -> Recognized:
        """Do the work. Raises what made every row fail, or what ``check`` raises."""
        windows = self._listener.windows()
        first = list(itertools.islice(windows, _LANGUAGE_WINDOWS))
        found = self._detect(first) if language == languages.AUTO else Language(language)
        if first:
            self._wording = wording(self._model, options, found.code)
            self._recognize(itertools.chain(first, windows))
        self._advance(self._listener.seconds)
        return Recognized(found, in_order(self._segments), sorted(self._undecoded))

    def _detect(self, windows: list[Window]) -> Language:
        if not windows:
            return Language("")
        tokenizer = tokenizer_for(self._model, languages.ENGLISH, translate=False)
        for window in windows:
            self._lane.submit(Row(Detection(self._model), self._features(window), tokenizer))
        heard = []
        for _ in windows:
            _, answer = self._receive()
            if isinstance(answer, Exception):
                raise answer
            if not isinstance(answer, Decoded):
                heard.append(answer)
        return languages.choose(heard)

    def _recognize(self, windows: Iterator[Window]) -> None:
        self._feed(windows)
        while self._works:
            row, answer = self._receive()
            work = self._works.pop(row)
            if isinstance(answer, Decoded):
                self._take(work, answer)
            elif isinstance(answer, Exception):
                self._fail(work, answer)
            self._feed(windows)
        if self._errors and not self._segments:
            raise self._errors[0]

    def _feed(self, windows: Iterator[Window]) -> None:
        for window in itertools.islice(windows, max(0, _ROWS_AHEAD - len(self._works))):
            self._check()
            self._submit(window, window.end - self._fed)
            self._fed = window.end

    def _submit(self, window: Window, samples: int = 0) -> None:
        row = self._wording.row(self._features(window), FIRST)
        self._send(_Work(window, row, samples))

    def _send(self, work: _Work) -> None:
        self._works[work.row] = work
        self._lane.submit(work.row)

    def _take(self, work: _Work, decoded: Decoded) -> None:
        work.tried.append(decoded)
        verdict = judge(decoded)
        attempt = next_attempt(work.tried)
        if attempt is not None:
            work.row = self._wording.row(work.row.features, attempt)
            self._send(work)
            return
        if verdict is not Verdict.SILENCE:
            self._keep(work.window, best(work.tried))
        self._end(work)

    def _keep(self, window: Window, decoded: Decoded) -> None:
        heard = []
        for said in decoded.utterances:
            text = self._wording.text(said.tokens)
            if text and said.start < said.end:
                heard.append((said.start, said.end))
                self._segments.append(segment(window, said, text, decoded))
        if not heard:
            self._undecoded += window.stretches
            return
        for hole in holes(heard, window.seconds, _SHORTEST_HOLE_SECONDS):
            if (part := window.part(hole)) is not None:
                self._submit(part)

    def _fail(self, work: _Work, error: Exception) -> None:
        self._errors.append(error)
        self._undecoded += work.window.stretches
        self._end(work)

    def _end(self, work: _Work) -> None:
        self._done += work.samples
        self._advance(self._done / SAMPLE_RATE)

    def _features(self, window: Window) -> Features:
        return self._listener.features(window, self._model.whisper.feature_extractor)

    def _receive(self) -> tuple[Row, Answer]:
        received = self._lane.receive()
        self._check()
        assert received is not None, "a lane is closed by a cancel, which the check tells"
        return received
