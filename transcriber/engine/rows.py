"""Rows: what the device is asked, a window of one task each, and what of it the model is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

FRAMES_PER_SECOND = 100
FULL_FRAMES = 3000
# Beyond its end a row needs some silence, or the model does not see that the speech has ended.
MARGIN_FRAMES = 300
_AXIS_STEP_FRAMES = 200  # So that short rows share batches.
# Behind these comes more silence for the decoder, and they share batches whatever their length.
_LONG_MARGIN_FRAMES = 200
# Shorter rows gained nothing by more to look at. The clip before the silence has to be shorter.
SHORTEST_LONG_FRAMES = 800
FRAMES_PER_PLACE = 2  # The encoder makes one place of two frames.

Features = NDArray[np.float32]
# float32[1, places, width]: what the encoder makes of features.
Encoded = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Model:
    """A model in memory.

    ``silence`` is how it hears, after speech, each place of the full axis; empty where encoding is
    cheap, and what the decoder sees of a row is encoded with it.
    """

    name: str
    sha256: str
    whisper: WhisperModel
    silence: Encoded

    @property
    def multilingual(self) -> bool:
        return bool(self.whisper.model.is_multilingual)


@dataclass(frozen=True)
class Detection:
    """Ask for the language."""

    model: Model


@dataclass(frozen=True)
class Decoding:
    """Ask for the text: all that the rows of one call have to agree in.

    ``full_axis`` has the encoder hear a row in the 30 seconds that the model was trained on.
    ``words`` is the start of the sequence by which words are timed; empty if they are not.
    """

    model: Model
    beam_size: int
    prompt_length: int
    words: tuple[int, ...] = ()
    full_axis: bool = False


@dataclass(frozen=True, eq=False)
class Row:
    """One window of one task. ``features``: float32[mels, frames], a hundred frames a second.

    What the model is shown depends on the row alone, so no neighbour changes its text.
    """

    ask: Detection | Decoding
    features: Features
    tokenizer: Tokenizer
    prompt: Sequence[int] = ()

    @property
    def frames(self) -> int:
        return int(self.features.shape[-1])

    @property
    def is_long(self) -> bool:
        return isinstance(self.ask, Decoding) and self.frames >= SHORTEST_LONG_FRAMES

    @property
    def encoded_frames(self) -> int:
        """Frames that the encoder is given: the row, and some silence."""
        if isinstance(self.ask, Decoding) and self.ask.full_axis:
            return FULL_FRAMES
        if self.is_long:
            if not self.ask.model.silence.size:
                return FULL_FRAMES
            return _axis(self.frames + _LONG_MARGIN_FRAMES, FRAMES_PER_PLACE)
        return _axis(self.frames + MARGIN_FRAMES, _AXIS_STEP_FRAMES)

    @property
    def axis(self) -> int:
        """Frames that the decoder sees.

        With half a minute to look at, as in its training, it makes fewer errors, and rows of all
        lengths share batches.
        """
        return FULL_FRAMES if self.is_long else self.encoded_frames

    @property
    def is_on_full_axis(self) -> bool:
        return self.encoded_frames == FULL_FRAMES

    @property
    def group(self) -> tuple[Detection | Decoding, int, bool]:
        """What rows agree in that share a batch."""
        return self.ask, self.axis, self.is_long


def _axis(frames: int, step: int) -> int:
    return min(FULL_FRAMES, -(-frames // step) * step)
