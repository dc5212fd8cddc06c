"""Rows through CTranslate2: a batch of windows in, what was said out.

Follows faster-whisper's ``generate`` and ``detect_language``, for many rows at once and on a time
axis as short as the row allows. Nothing is left to chance: the same row has the same text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens
from numpy.typing import NDArray

from transcriber.engine.utterances import Utterance, Word, split

FRAMES_PER_SECOND = 100
_FULL_FRAMES = 3000
# Beyond its end a row needs some silence, or the model does not see that the speech has ended.
_MARGIN_FRAMES = 300
_AXIS_STEP_FRAMES = 200
_DYNAMIC_RANGE = 2.0  # Of OpenAI's features: 8 decades, divided by 4.
_LATEST_START_TIMESTAMP = 50  # One second, as in OpenAI's decoding.
# Nobody speaks faster than this; a row that repeats itself would otherwise hold up its batch.
_TOKENS_PER_SECOND = 20
_TOKENS_BESIDE = 40
_PREPENDED = "\"'“¿([{-"
_APPENDED = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 - as many languages write them.

Features = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Model:
    """A model in memory."""

    name: str
    sha256: str
    whisper: WhisperModel

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

    ``full_axis`` gives a row the 30 seconds that the model was trained on. ``words`` is the start
    of the sequence by which words are timed; empty if they are not.
    """

    model: Model
    beam_size: int
    prompt_length: int
    words: tuple[int, ...] = ()
    full_axis: bool = False


@dataclass(frozen=True, eq=False)
class Row:
    """One window of one task. ``features``: float32[mels, frames], a hundred frames a second."""

    ask: Detection | Decoding
    features: Features
    tokenizer: Tokenizer
    prompt: Sequence[int] = ()

    @property
    def frames(self) -> int:
        return int(self.features.shape[-1])

    @property
    def axis(self) -> int:
        """Frames that the model is given: by the row alone, so no neighbour changes its text."""
        if isinstance(self.ask, Decoding) and self.ask.full_axis:
            return _FULL_FRAMES
        steps = -(-(self.frames + _MARGIN_FRAMES) // _AXIS_STEP_FRAMES)
        return min(_FULL_FRAMES, steps * _AXIS_STEP_FRAMES)

    @property
    def is_on_full_axis(self) -> bool:
        return self.axis == _FULL_FRAMES

    @property
    def group(self) -> tuple[Detection | Decoding, int]:
        return self.ask, self.axis


@dataclass(frozen=True)
class Decoded:
    """What the model heard in a row."""

    utterances: Sequence[Utterance]
    text: str
    avg_logprob: float
    no_speech_prob: float


# Probability by language code.
Languages = Mapping[str, float]


def run(rows: Sequence[Row]) -> list[Decoded] | list[Languages]:
    """Return one answer for each of ``rows``, which are of one group.

    Raises what CTranslate2 raises, RuntimeError for example when memory runs out.
    """
    ask = rows[0].ask
    if isinstance(ask, Detection):
        return _detect(ask, rows)
    return _decode(ask, rows)


def _detect(ask: Detection, rows: Sequence[Row]) -> list[Languages]:
    whisper = ask.model.whisper.model
    answers = whisper.detect_language(_encode(whisper, rows))
    # A language comes as a token, "<|de|>".
    return [{token[2:-2]: probability for token, probability in answer} for answer in answers]


def _decode(ask: Decoding, rows: Sequence[Row]) -> list[Decoded]:
    whisper = ask.model.whisper.model
    encoded = _encode(whisper, rows)
    results = whisper.generate(
        encoded,
        [list(row.prompt) for row in rows],
        beam_size=ask.beam_size,
        max_length=_max_length(ask, rows),
        return_scores=True,
        return_no_speech_prob=True,
        suppress_tokens=get_suppressed_tokens(rows[0].tokenizer, [-1]),
        max_initial_timestamp_index=_LATEST_START_TIMESTAMP,
    )
    decoded = [_decoded(row, result) for row, result in zip(rows, results, strict=True)]
    return _with_words(ask, rows, encoded, decoded) if ask.words else decoded


def _max_length(ask: Decoding, rows: Sequence[Row]) -> int:
    # The same for all rows of this axis, whichever of them share a batch.
    seconds = (rows[0].axis - _MARGIN_FRAMES) / FRAMES_PER_SECOND
    tokens = int(seconds * _TOKENS_PER_SECOND) + _TOKENS_BESIDE
    return min(ask.prompt_length + tokens, int(ask.model.whisper.max_length))


def _decoded(row: Row, result: Any) -> Decoded:
    tokens = result.sequences_ids[0]
    seconds = row.frames / FRAMES_PER_SECOND
    return Decoded(
        split(tokens, row.tokenizer.timestamp_begin, seconds),
        row.tokenizer.decode(tokens).strip(),
        # The score is the mean without the end token.
        result.scores[0] * len(tokens) / (len(tokens) + 1),
        result.no_speech_prob,
    )


def _encode(whisper: ctranslate2.models.Whisper, rows: Sequence[Row]) -> ctranslate2.StorageView:
    if whisper.device != "cpu":
        return whisper.encode(_storage(rows))
    # The attention of several long rows outgrows the caches of a CPU: one by one is faster.
    encoded = [np.asarray(whisper.encode(_storage([row]))) for row in rows]
    return ctranslate2.StorageView.from_array(np.concatenate(encoded))


def _storage(rows: Sequence[Row]) -> ctranslate2.StorageView:
    axis = rows[0].axis
    batch = np.empty((len(rows), rows[0].features.shape[0], axis), np.float32)
    for place, row in zip(batch, rows, strict=True):
        # What the features of digital silence are, as in OpenAI's training. Zero, which
        # faster-whisper pads with, is a hum: on a short axis it is taken for speech.
        place[:] = row.features.max() - _DYNAMIC_RANGE
        place[:, : row.frames] = row.features[:, :axis]
    return ctranslate2.StorageView.from_array(batch)


def _with_words(
    ask: Decoding, rows: Sequence[Row], encoded: ctranslate2.StorageView, decoded: list[Decoded]
) -> list[Decoded]:
    """Time the words of ``decoded``; rows without times keep their text.

    Aligning a row of next to nothing fails with IndexError: alone it goes without words.
    """
    timed = [
        [
            {"seek": 0, "start": said.start, "end": said.end, "tokens": list(said.tokens)}
            for said in answer.utterances
        ]
        for answer in decoded
    ]
    try:
        ask.model.whisper.add_word_timestamps(
            timed,
            rows[0].tokenizer,
            encoded,
            [row.frames for row in rows],
            _PREPENDED,
            _APPENDED,
            last_speech_timestamp=0.0,
        )
    except IndexError:
        if len(rows) > 1:
            raise
        return decoded
    return [
        replace(answer, utterances=[_timed(segment) for segment in segments])
        for answer, segments in zip(decoded, timed, strict=True)
    ]


def _timed(segment: Mapping[str, Any]) -> Utterance:
    words = tuple(
        Word(word["word"], float(word["start"]), float(word["end"]), float(word["probability"]))
        for word in segment.get("words", ())
    )
    return Utterance(
        float(segment["start"]), float(segment["end"]), tuple(segment["tokens"]), words
    )
