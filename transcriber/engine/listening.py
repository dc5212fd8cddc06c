"""From samples on disk to windows of speech and their mel features, never more than a span at once.

Silero VAD finds the speech; what is longer than a window is cut at its quietest moment.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.vad import VadOptions, get_speech_timestamps
from numpy.typing import NDArray

from transcriber.engine.rows import Features
from transcriber.engine.samples import Pcm, SampleFile
from transcriber.engine.spans import quietest, spans
from transcriber.engine.windows import SAMPLE_RATE, Piece, Window, pack, surround

_VAD = VadOptions(min_silence_duration_ms=300, speech_pad_ms=0)
_FULL_SCALE = np.float32(32768)
_STRETCH = 1.25
_SHORTEST_SECONDS = 0.5  # Word times fail on pieces of a few milliseconds: pad with silence.


class Listener:
    """One file of samples. ``window_seconds`` is what a window holds, a quarter more at most."""

    def __init__(self, path: Path, vad_filter: bool, window_seconds: float) -> None:
        self._file = SampleFile(path)
        self._vad_filter = vad_filter
        self._most = int(window_seconds * SAMPLE_RATE)

    @property
    def seconds(self) -> float:
        return self._file.length / SAMPLE_RATE

    def windows(self) -> Iterator[Window]:
        """Yield the speech of the file in order."""
        for start, end in spans(self._file):
            pieces = self._speech(start, end) if self._vad_filter else [(start, end)]
            yield from pack(self._short(pieces), self._most)

    def is_speech(self, window: Window) -> bool:
        """Tell whether somebody speaks in ``window``, whatever was asked about the file."""
        return bool(get_speech_timestamps(self._samples(window), _VAD))

    def halves(self, window: Window) -> list[Window]:
        """Cut ``window`` where it is quietest near its middle."""
        third = window.length // 3
        cut = (third + quietest(self._pcm(window)[third : 2 * third])) / SAMPLE_RATE
        halves = (window.part((0.0, cut)), window.part((cut, window.seconds)))
        return [half for half in halves if half]

    def features(self, window: Window, extractor: FeatureExtractor) -> Features:
        samples = self._samples(window)
        missing = int(_SHORTEST_SECONDS * SAMPLE_RATE) - len(samples)
        if missing > 0:
            samples = np.pad(samples, (0, missing))
        features: Features = extractor(samples)[..., :-1]
        return features

    def _samples(self, window: Window) -> NDArray[np.float32]:
        return self._pcm(window).astype(np.float32) / _FULL_SCALE

    def _pcm(self, window: Window) -> Pcm:
        return np.concatenate([self._file.read(start, end) for start, end in window.pieces])

    def _speech(self, start: int, end: int) -> list[Piece]:
        parts = get_speech_timestamps(self._samples(Window(((start, end),))), _VAD)
        speech = [(start + part["start"], start + part["end"]) for part in parts]
        return surround(speech, (start, end))

    def _short(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Cut what is much too long in the last third of a window, where that is quietest."""
        for start, end in pieces:
            # A cut within speech costs words, and a row that is a little longer costs little.
            while end - start > self._most * _STRETCH:
                earliest = start + self._most * 2 // 3
                cut = earliest + quietest(self._file.read(earliest, start + self._most))
                yield start, cut
                start = cut
            yield start, end
