"""The committed samples are what the tests and the demo take them for."""

import subprocess
import sys
from pathlib import Path

import av
import pytest

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


@pytest.mark.needs_flite
def test_the_script_makes_them(samples: dict[str, Sample], tmp_path: Path) -> None:
    """The committed script makes every clip, as long as the committed one."""
    script = samples["train.mp3"].path.with_name("make.py")
    subprocess.run([sys.executable, script, tmp_path], check=True, stdout=subprocess.DEVNULL)
    for name, clip in samples.items():
        assert seconds(tmp_path / name) == pytest.approx(seconds(clip.path), abs=0.1)


def seconds(path: Path) -> float:
    with av.open(str(path)) as media:
        assert media.duration is not None
        return media.duration / av.time_base
