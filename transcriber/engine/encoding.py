"""Rows through the encoder: on a CPU each on a time axis as short as it allows.

The encoder's time grows faster than its axis, and silence is always heard in the same way: after
the end of a row the decoder is given a silence that was encoded once, after other speech.
"""

from collections.abc import Sequence

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel

from transcriber.engine.rows import FRAMES_PER_PLACE, FULL_FRAMES, Encoded, Features, Model, Row

_DYNAMIC_RANGE = 2.0  # Of OpenAI's features: 8 decades, divided by 4.


def encode(model: Model, rows: Sequence[Row]) -> ctranslate2.StorageView:
    """Return [rows, places, width] for rows of one axis."""
    if not model.silence.size:
        storage = _storage([row.features for row in rows], rows[0].encoded_frames)
        return model.whisper.model.encode(storage)
    # The attention of several long rows outgrows the caches of a CPU: one by one is faster.
    encoded = [_with_silence(model, row) for row in rows]
    return ctranslate2.StorageView.from_array(np.concatenate(encoded))


def silence_after(whisper: WhisperModel, speech: Features) -> Encoded:
    """Return what ``whisper`` makes of ``speech`` and the silence up to the end of its axis.

    After silence with no speech before it base says its last sentence again in many rows. Empty on
    a GPU, where encoding is cheap.
    """
    if whisper.model.device != "cpu":
        return np.empty((1, 0, 0), np.float32)
    return _encoded(whisper, speech, FULL_FRAMES)


def _with_silence(model: Model, row: Row) -> Encoded:
    encoded = _encoded(model.whisper, row.features, row.encoded_frames)
    silence = model.silence[:, encoded.shape[1] : row.axis // FRAMES_PER_PLACE]
    return np.concatenate([encoded, silence], axis=1)


def _encoded(whisper: WhisperModel, features: Features, frames: int) -> Encoded:
    return np.array(whisper.model.encode(_storage([features], frames)))


def _storage(features: Sequence[Features], frames: int) -> ctranslate2.StorageView:
    batch = np.empty((len(features), features[0].shape[0], frames), np.float32)
    for place, one in zip(batch, features, strict=True):
        # What the features of digital silence are, as in OpenAI's training. Zero, which
        # faster-whisper pads with, is a hum: on a short axis it is taken for speech.
        place[:] = one.max() - _DYNAMIC_RANGE
        place[:, : one.shape[-1]] = one[:, :frames]
    return ctranslate2.StorageView.from_array(batch)
