"""Which of the texts that a search has found is kept: the likeliest words. Pure."""

import math
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

_NOT_SPOKEN = "PS"  # The categories of punctuation and symbols begin with these.


def likeliest(texts: Sequence[str], logprobs: Sequence[float]) -> int:
    """Return the index of the text whose words are the likeliest.

    A search ends with several texts that differ in times, commas or capitals only. They say the
    same, so their probabilities count together; ``logprobs`` are those of whole texts.
    """
    spoken = [_words(text) for text in texts]
    most = max(logprobs)
    mass: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for words, logprob in zip(spoken, logprobs, strict=True):
        mass[words] += math.exp(logprob - most)
    return max(range(len(texts)), key=lambda index: (mass[spoken[index]], logprobs[index]))


def _words(text: str) -> tuple[str, ...]:
    plain = (char for char in text.casefold() if unicodedata.category(char)[0] not in _NOT_SPOKEN)
    return tuple("".join(plain).split())
