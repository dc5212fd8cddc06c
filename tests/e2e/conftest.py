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
    """Address of a minute of speech: long enough to be caught at work."""
    speech = np.concatenate([decode(clip.path) for clip in samples.values() if clip.audio])
    return media.serve("lecture.mp3", Answer(encode(np.tile(speech, 2), "mp3"), "audio/mpeg"))
