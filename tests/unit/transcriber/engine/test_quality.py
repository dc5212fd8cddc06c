"""What is believed, and which of several answers."""

import pytest

from transcriber.engine.decoding import Decoded
from transcriber.engine.quality import Verdict, best, judge
from transcriber.engine.utterances import Utterance


def _decoded(
    text: str = "A clear sentence.", avg_logprob: float = -0.3, silent: float = 0.1
) -> Decoded:
    return Decoded([], text, avg_logprob, silent)


LOOP = _decoded("again and " * 40)
HURRIED = Decoded([Utterance(4.04, 4.06, tuple(range(9)))], "The same once more.", -0.3, 0.1)
UNSURE = _decoded(avg_logprob=-1.2)
SILENCE = _decoded("Thank you.", avg_logprob=-1.4, silent=0.9)


@pytest.mark.parametrize(
    ("decoded", "verdict"),
    [
        (_decoded(), Verdict.GOOD),
        (LOOP, Verdict.DOUBTFUL),
        (HURRIED, Verdict.DOUBTFUL),
        (UNSURE, Verdict.DOUBTFUL),
        (SILENCE, Verdict.SILENCE),
        (_decoded(silent=0.9), Verdict.GOOD),
    ],
)
def test_verdicts(decoded: Decoded, verdict: Verdict) -> None:
    """Repetition, haste and doubt are seen; silence counts only if the words are unsure too."""
    assert judge(decoded) is verdict


def test_the_surest_without_repetition_is_best() -> None:
    """A repetition is sure of itself, and still the worse choice."""
    assert best([LOOP, HURRIED, UNSURE]) == UNSURE
    assert best([LOOP, LOOP]) == LOOP
