"""Where to cut long audio: at the quietest moment near the end of every five minutes.

Memory and the time to a first result then depend on the span and not on the file.
"""

from collections.abc import Iterator

import numpy as np

from transcriber.engine.samples import Pcm, SampleFile
from transcriber.engine.windows import SAMPLE_RATE, Piece

SPAN_SECONDS = 300
SEARCH_SECONDS = 60  # The cut lies within the last minute of its span.
_QUIET_SECONDS = 0.3


def spans(file: SampleFile) -> Iterator[Piece]:
    """Yield start and end of each span of ``file`` in order, without a gap."""
    start = 0
    while start < file.length:
        end = _end_of_span(file, start)
        yield start, end
        start = end


def _end_of_span(file: SampleFile, start: int) -> int:
    latest = start + SPAN_SECONDS * SAMPLE_RATE
    if latest >= file.length:
        return file.length
    earliest = latest - SEARCH_SECONDS * SAMPLE_RATE
    return earliest + quietest(file.read(earliest, latest))


def quietest(pcm: Pcm) -> int:
    """Return the middle of the quietest 0.3 s of ``pcm``: int16[n], at least that long."""
    width = int(_QUIET_SECONDS * SAMPLE_RATE)
    blocks = pcm[: len(pcm) // width * width].reshape(-1, width).astype(np.float32)
    loudness = np.square(blocks).mean(axis=1)
    return int(loudness.argmin()) * width + width // 2
