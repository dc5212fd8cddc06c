"""Where to cut long audio: at the quietest moment near the end of every ten minutes.

Memory and the time to a first result then depend on the span and not on the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
SPAN_SECONDS = 600
SEARCH_SECONDS = 60  # The cut lies within the last minute of its span.
_QUIET_SECONDS = 0.3
_FULL_SCALE = np.float32(32768)

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Span:
    """``samples``: float32[n] in -1..1, from ``start_seconds`` of the file."""

    start_seconds: float
    samples: Samples

    @property
    def end_seconds(self) -> float:
        return self.start_seconds + len(self.samples) / SAMPLE_RATE


def spans(path: Path) -> Iterator[Span]:
    """Yield the file's samples (int16 little-endian, mono, 16 kHz) in order, none twice."""
    pcm = np.memmap(path, dtype="<i2", mode="r")
    start = 0
    while start < len(pcm):
        end = _end_of_span(pcm, start)
        yield Span(start / SAMPLE_RATE, pcm[start:end].astype(np.float32) / _FULL_SCALE)
        start = end


def _end_of_span(pcm: NDArray[np.int16], start: int) -> int:
    latest = start + SPAN_SECONDS * SAMPLE_RATE
    if latest >= len(pcm):
        return len(pcm)
    earliest = latest - SEARCH_SECONDS * SAMPLE_RATE
    return earliest + quietest(pcm[earliest:latest])


def quietest(pcm: NDArray[np.int16]) -> int:
    """Return the middle of the quietest 0.3 s of ``pcm``: int16[n], at least that long."""
    width = int(_QUIET_SECONDS * SAMPLE_RATE)
    blocks = pcm[: len(pcm) // width * width].reshape(-1, width).astype(np.float32)
    loudness = np.square(blocks).mean(axis=1)
    return int(loudness.argmin()) * width + width // 2
