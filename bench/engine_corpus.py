"""Speech with known texts for the benchmark of the engine: long files, short clips, a mix.

Made from short recordings, always in the same way. Without a folder of recorded speech (a
``references.json`` that names files and texts) the bundled samples have to do.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.media import RATE, decode, encode

LANGUAGE = "en"
_SAMPLES = Path(__file__).parent.parent / "samples"
_LONG_SECONDS = 120
_PAUSES_SECONDS = (0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 3.5)
_NOISE = 4  # Of a quiet room, in steps of 16 bits.
_LONG_FILES = 6
_SHORT_CLIPS = 30

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Recording:
    """``samples``: int16[n], mono, 16 kHz; ``text`` is what is said."""

    samples: Samples
    text: str

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


@dataclass(frozen=True)
class Video:
    """A recording as a file."""

    path: Path
    text: str
    seconds: float


def recordings(speech_dir: Path | None) -> list[Recording]:
    """Return the recordings of ``speech_dir``, or else the bundled samples."""
    if speech_dir is None:
        texts = json.loads((_SAMPLES / "texts.json").read_text())
        pairs = [(_SAMPLES / name, one["text"]) for name, one in texts.items() if one["audio"]]
    else:
        references = json.loads((speech_dir / "references.json").read_text())
        pairs = [(speech_dir / one["file"], one["text"]) for one in references]
    return [Recording(decode(path), text) for path, text in pairs]


def corpora(clips: Sequence[Recording], directory: Path) -> Mapping[str, list[Video]]:
    """Write the files of each kind to ``directory``."""
    long = [_save(directory / f"long-{n}.wav", _long(clips, n)) for n in range(2 * _LONG_FILES)]
    short = [
        _save(directory / f"short-{n}.wav", _short(clips[n % len(clips)], n // len(clips)))
        for n in range(_SHORT_CLIPS)
    ]
    # The mix has long files of its own, so that it tells more; and enough words to tell it.
    return {"long": long[:_LONG_FILES], "short": short, "mix": [*long[_LONG_FILES:], *short]}


def _long(clips: Sequence[Recording], seed: int) -> Recording:
    """Return clips in a random order with pauses between them."""
    dice = random.Random(seed)
    parts: list[Samples] = []
    texts: list[str] = []
    for clip in _endless(clips, dice):
        parts += [clip.samples, _pause(dice)]
        texts.append(clip.text)
        if sum(map(len, parts)) >= _LONG_SECONDS * RATE:
            return Recording(np.concatenate(parts), " ".join(texts))
    raise AssertionError("there is no end of clips")


def _endless(clips: Sequence[Recording], dice: random.Random) -> Iterator[Recording]:
    while True:
        yield from dice.sample(clips, len(clips))


def _pause(dice: random.Random) -> Samples:
    length = int(dice.choice(_PAUSES_SECONDS) * RATE)
    noise = np.random.default_rng(length).normal(0, _NOISE, length)
    return noise.astype(np.int16)


def _short(clip: Recording, turn: int) -> Recording:
    """Return the clip a little later and quieter each turn, so that no two files are equal."""
    later = np.zeros(int(0.1 * turn * RATE), np.int16)
    quieter = (clip.samples * 0.7**turn).astype(np.int16)
    return Recording(np.concatenate([later, quieter]), clip.text)


def _save(path: Path, recording: Recording) -> Video:
    path.write_bytes(encode(recording.samples, "wav"))
    return Video(path, recording.text, recording.seconds)
