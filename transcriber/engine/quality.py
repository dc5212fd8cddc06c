"""Whether what the model heard can be believed.

Pure. The thresholds are OpenAI's, as faster-whisper has them.
"""

import zlib
from collections.abc import Sequence
from enum import Enum, auto

from transcriber.engine.decoding import Decoded
from transcriber.engine.utterances import Utterance

_REPETITIVE = 2.4
_UNSURE = -1.0
_SILENT = 0.6
# Nobody speaks faster; a few tokens more may share a moment.
_TOKENS_PER_SECOND = 20
_TOKENS_BESIDE = 5


class Verdict(Enum):
    """What a decoded row is worth."""

    GOOD = auto()
    # Nobody speaks: what it says is made up.
    SILENCE = auto()
    DOUBTFUL = auto()


def compression_ratio(text: str) -> float:
    """Return the length of ``text`` over its compressed length: repetition compresses well."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))


def judge(decoded: Decoded) -> Verdict:
    unsure = decoded.avg_logprob < _UNSURE
    if unsure and decoded.no_speech_prob > _SILENT:
        return Verdict.SILENCE
    if unsure or _is_muddled(decoded):
        return Verdict.DOUBTFUL
    return Verdict.GOOD


def _is_muddled(decoded: Decoded) -> bool:
    repetitive = compression_ratio(decoded.text) > _REPETITIVE
    return repetitive or any(map(_is_hurried, decoded.utterances))


def _is_hurried(said: Utterance) -> bool:
    """Tell whether there is more text than its time can hold: a sentence heard twice."""
    return len(said.tokens) > (said.end - said.start) * _TOKENS_PER_SECOND + _TOKENS_BESIDE


def best(tried: Sequence[Decoded]) -> Decoded:
    """Return the surest of ``tried``, of those that do not repeat themselves if there are any."""
    plain = [decoded for decoded in tried if not _is_muddled(decoded)]
    return max(plain or tried, key=lambda decoded: decoded.avg_logprob)
