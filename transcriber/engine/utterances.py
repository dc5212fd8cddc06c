"""From the tokens of one window to what was said when.

The model writes ``<|0.00|> text<|4.20|><|4.60|> text<|9.00|>``: times around pieces of text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TIMESTAMP_SECONDS = 0.02


@dataclass(frozen=True)
class Word:
    """One word with its times in seconds of the window."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True)
class Utterance:
    """Text tokens with their times in seconds of the window."""

    start: float
    end: float
    tokens: tuple[int, ...]
    words: tuple[Word, ...] = ()


def split(tokens: Sequence[int], first_timestamp: int, seconds: float) -> list[Utterance]:
    """Return what was said in a window of ``seconds``.

    Text that begins after another has ended and has no end of its own was cut off by the end of
    the output: it is left out, so that its stretch counts as not heard.
    """
    found: list[Utterance] = []
    start = 0.0
    text: list[int] = []
    for token in tokens:
        if token < first_timestamp:
            text.append(token)
            continue
        time = min((token - first_timestamp) * TIMESTAMP_SECONDS, seconds)
        if text:
            found.append(Utterance(start, time, tuple(text)))
        start, text = time, []
    if text and not found:
        found.append(Utterance(start, seconds, tuple(text)))
    return found
