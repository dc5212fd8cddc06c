"""Media for real transcribers."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.conftest import Sample
from tests.media import Answer, MediaServer, decode, encode, media_server


@pytest.fixture(scope="module")
def media() -> Iterator[MediaServer]:
    with media_server() as server:
        yield server


@pytest.fixture(scope="module")
def lecture(media: MediaServer, samples: dict[str, Sample]) -> str:
    """Address of more than a minute of speech: long enough to be caught at work."""
    return _serve(media, "lecture.mp3", samples, repeats=2)


@pytest.fixture(scope="module")
def course(media: MediaServer, samples: dict[str, Sample]) -> str:
    """Address of nearly three minutes of speech: long enough to be watched at work."""
    return _serve(media, "course.mp3", samples, repeats=4)


def _serve(media: MediaServer, path: str, samples: dict[str, Sample], repeats: int) -> str:
    speech = np.concatenate([decode(clip.path) for clip in samples.values() if clip.audio])
    return media.serve(path, Answer(encode(np.tile(speech, repeats), "mp3"), "audio/mpeg"))
