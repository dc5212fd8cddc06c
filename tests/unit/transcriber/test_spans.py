"""Cutting long audio at quiet places."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.media import tone
from transcriber.engine.spans import SAMPLE_RATE, SPAN_SECONDS, quietest, spans


def _file(path: Path, samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> Path:
    samples.astype("<i2").tofile(path)
    return path


def test_short_audio_is_one_span(tmp_path: Path) -> None:
    """What fits into one span is not cut."""
    (span,) = spans(_file(tmp_path / "samples", tone(3)))
    assert span.start_seconds == 0
    assert span.end_seconds == 3
    assert abs(span.samples).max() == pytest.approx(0.3, abs=0.01)


def test_no_sample_is_lost_or_heard_twice(tmp_path: Path) -> None:
    """The spans of long audio follow each other without a gap."""
    seconds = 2.5 * SPAN_SECONDS
    parts = list(spans(_file(tmp_path / "samples", tone(seconds))))
    assert len(parts) == 3
    assert sum(len(part.samples) for part in parts) == seconds * SAMPLE_RATE
    for before, after in itertools.pairwise(parts):
        assert before.end_seconds == after.start_seconds
        assert len(before.samples) <= SPAN_SECONDS * SAMPLE_RATE


def test_the_cut_is_in_the_silence() -> None:
    """Speech is not cut where a pause is near."""
    samples = np.concatenate([tone(20), tone(1, loudness=0), tone(20)])
    assert 20 < quietest(samples) / SAMPLE_RATE < 21
