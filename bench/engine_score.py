"""How good and how fast a transcription was."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer

from bench.engine_corpus import Video


@dataclass(frozen=True)
class Score:
    """Words against the reference, and the time for all files together."""

    audio_seconds: float
    wall_seconds: float
    words: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def rtfx(self) -> float:
        """Seconds of audio in a second."""
        return self.audio_seconds / self.wall_seconds

    @property
    def wer(self) -> float:
        """Word error rate in percent."""
        return 100 * (self.substitutions + self.deletions + self.insertions) / self.words

    def __str__(self) -> str:
        return (
            f"RTFx {self.rtfx:5.1f}  WER {self.wer:5.2f} %  "
            f"S {self.substitutions:3} D {self.deletions:3} I {self.insertions:3}"
        )


def score(videos: Sequence[Video], texts: Sequence[str], wall_seconds: float) -> Score:
    said = [_normalized(video.text) for video in videos]
    counted = jiwer.process_words(said, [_normalized(text) for text in texts])
    return Score(
        sum(video.seconds for video in videos),
        wall_seconds,
        sum(len(text.split()) for text in said),
        counted.substitutions,
        counted.deletions,
        counted.insertions,
    )


def _normalized(text: str) -> str:
    """Return the words in lower case, without punctuation and the spellings that vary."""
    plain = text.lower().replace("'", "").replace("mr.", "mister")
    return " ".join(re.sub(r"[^a-z0-9]+", " ", plain).split())
