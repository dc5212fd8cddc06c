"""Rows through CTranslate2: a batch of windows in, what was said out.

Follows faster-whisper's ``generate`` and ``detect_language``, for many rows at once. Nothing is
left to chance: the same row has the same text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ctranslate2
from faster_whisper.transcribe import get_suppressed_tokens

from transcriber.engine.encoding import encode
from transcriber.engine.hypotheses import likeliest
from transcriber.engine.rows import (
    FRAMES_PER_SECOND,
    MARGIN_FRAMES,
    Decoding,
    Detection,
    Row,
)
from transcriber.engine.utterances import Utterance, Word, split

_LATEST_START_TIMESTAMP = 50  # One second, as in OpenAI's decoding.
_TIMESTAMPS = 1501  # From 0 to 30 s.
# Nobody speaks faster; a short row that repeats itself would otherwise hold up its batch.
_TOKENS_PER_SECOND = 20
_TOKENS_BESIDE = 40
_PREPENDED = "\"'“¿([{-"
_APPENDED = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 - as many languages write them.


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
    answers = whisper.detect_language(encode(ask.model, rows))
    # A language comes as a token, "<|de|>".
    return [{token[2:-2]: probability for token, probability in answer} for answer in answers]


def _decode(ask: Decoding, rows: Sequence[Row]) -> list[Decoded]:
    whisper = ask.model.whisper.model
    encoded = encode(ask.model, rows)
    results = whisper.generate(
        encoded,
        [list(row.prompt) for row in rows],
        beam_size=ask.beam_size,
        max_length=_max_length(ask, rows),
        num_hypotheses=ask.beam_size,
        return_scores=True,
        return_no_speech_prob=True,
        suppress_tokens=_suppressed(rows[0]),
        max_initial_timestamp_index=_LATEST_START_TIMESTAMP,
    )
    decoded = [_decoded(row, result) for row, result in zip(rows, results, strict=True)]
    return _with_words(ask, rows, encoded, decoded) if ask.words else decoded


def _max_length(ask: Decoding, rows: Sequence[Row]) -> int:
    # The same for all rows of this axis, whichever of them share a batch; for long ones all that
    # the model has room for.
    seconds = (rows[0].axis - MARGIN_FRAMES) / FRAMES_PER_SECOND
    tokens = int(seconds * _TOKENS_PER_SECOND) + _TOKENS_BESIDE
    return min(ask.prompt_length + tokens, int(ask.model.whisper.max_length))


def _suppressed(row: Row) -> list[int]:
    tokens = list(get_suppressed_tokens(row.tokenizer, [-1]))
    if row.is_long:
        # Every other time is enough. With all of them the beams come to hold the same words with
        # times that are next to each other, and few other words.
        first = row.tokenizer.timestamp_begin
        tokens += range(first + 1, first + _TIMESTAMPS, 2)
    return tokens


def _decoded(row: Row, result: Any) -> Decoded:
    texts = [row.tokenizer.decode(tokens).strip() for tokens in result.sequences_ids]
    # A score is the mean without the end token.
    logprobs = [
        score * len(tokens)
        for score, tokens in zip(result.scores, result.sequences_ids, strict=True)
    ]
    kept = likeliest(texts, logprobs)
    tokens = result.sequences_ids[kept]
    return Decoded(
        split(tokens, row.tokenizer.timestamp_begin, row.frames / FRAMES_PER_SECOND),
        texts[kept],
        logprobs[kept] / (len(tokens) + 1),
        result.no_speech_prob,
    )


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
