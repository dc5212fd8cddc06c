"""Cutting long audio at quiet places."""

import itertools
from pathlib import Path

import numpy as np

from tests.media import tone
from transcriber.engine.samples import Pcm, SampleFile
from transcriber.engine.spans import SPAN_SECONDS, quietest, spans
from transcriber.engine.windows import SAMPLE_RATE


def _file(path: Path, samples: Pcm) -> SampleFile:
    samples.astype("<i2").tofile(path)
    return SampleFile(path)


def test_short_audio_is_one_span(tmp_path: Path) -> None:
    """What fits into one span is not cut."""
    assert list(spans(_file(tmp_path / "samples", tone(3)))) == [(0, 3 * SAMPLE_RATE)]


def test_no_sample_is_lost_or_heard_twice(tmp_path: Path) -> None:
    """The spans of long audio follow each other without a gap."""
    samples = tone(2.5 * SPAN_SECONDS)
    parts = list(spans(_file(tmp_path / "samples", samples)))
    assert len(parts) == 3
    assert (parts[0][0], parts[-1][1]) == (0, len(samples))
    for (start, end), (next_start, _) in itertools.pairwise(parts):
        assert end == next_start
        assert end - start <= SPAN_SECONDS * SAMPLE_RATE


def test_the_cut_is_in_the_silence() -> None:
    """Speech is not cut where a pause is near."""
    samples = np.concatenate([tone(20), tone(1, loudness=0), tone(20)])
    assert 20 < quietest(samples) / SAMPLE_RATE < 21
