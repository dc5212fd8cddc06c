"""Where to cut long audio: at the quietest moment near the end of every ten minutes.

Memory and the time to a first result then depend on the span and not on the file.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from transcriber.engine.windows import SAMPLE_RATE, Piece

SPAN_SECONDS = 600
SEARCH_SECONDS = 60  # The cut lies within the last minute of its span.
_QUIET_SECONDS = 0.3

Pcm = NDArray[np.int16]


def spans(pcm: Pcm) -> Iterator[Piece]:
    """Yield start and end of each span of ``pcm`` (mono, 16 kHz) in order, without a gap."""
    start = 0
    while start < len(pcm):
        end = _end_of_span(pcm, start)
        yield start, end
        start = end


def _end_of_span(pcm: Pcm, start: int) -> int:
    latest = start + SPAN_SECONDS * SAMPLE_RATE
    if latest >= len(pcm):
        return len(pcm)
    earliest = latest - SEARCH_SECONDS * SAMPLE_RATE
    return earliest + quietest(pcm[earliest:latest])


def quietest(pcm: Pcm) -> int:
    """Return the middle of the quietest 0.3 s of ``pcm``: int16[n], at least that long."""
    width = int(_QUIET_SECONDS * SAMPLE_RATE)
    blocks = pcm[: len(pcm) // width * width].reshape(-1, width).astype(np.float32)
    loudness = np.square(blocks).mean(axis=1)
    return int(loudness.argmin()) * width + width // 2
