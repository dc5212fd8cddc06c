"""The committed samples are what the tests and the demo take them for."""

import av

from tests.conftest import Sample


def test_together_they_stay_small(samples: dict[str, Sample]) -> None:
    """All clips together are under 1 MB, so that a clone stays quick."""
    assert sum(clip.path.stat().st_size for clip in samples.values()) < 1_000_000


def test_titles_and_tracks_are_as_told(samples: dict[str, Sample]) -> None:
    """Every clip carries its title, and an audio track exactly if it says so."""
    for clip in samples.values():
        with av.open(str(clip.path)) as media:
            assert media.metadata["title"] == clip.title
            assert bool(media.streams.audio) is clip.audio
