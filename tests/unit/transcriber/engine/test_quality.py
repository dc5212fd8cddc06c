"""What is believed and what is tried again."""

import pytest

from transcriber.engine.decoding import Decoded
from transcriber.engine.quality import LADDER, Verdict, best, judge, next_attempt
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


def test_doubt_climbs_the_whole_ladder() -> None:
    """First the full time axis, then higher temperatures, then no more."""
    attempts = [next_attempt([LOOP] * count) for count in range(len(LADDER) + 1)]
    assert attempts == [*LADDER, None]


def test_silence_is_tried_once_more() -> None:
    """On the full axis it is believed."""
    assert next_attempt([SILENCE]) == LADDER[1]
    assert next_attempt([SILENCE, SILENCE]) is None


def test_what_is_good_is_not_tried_again() -> None:
    """One good answer ends the tries."""
    assert next_attempt([_decoded()]) is None


def test_the_surest_without_repetition_is_best() -> None:
    """A repetition is sure of itself, and still the worse choice."""
    assert best([LOOP, HURRIED, UNSURE]) == UNSURE
    assert best([LOOP, LOOP]) == LOOP
