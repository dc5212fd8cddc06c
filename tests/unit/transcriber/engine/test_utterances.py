"""From tokens to what was said when."""

from collections.abc import Sequence

import numpy as np
import pytest

from transcriber.engine.utterances import split

FIRST = 1000  # The token of <|0.00|>.


def _at(seconds: float) -> int:
    return FIRST + round(seconds / 0.02)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([], []),
        ([_at(0), 1, 2, _at(4)], [(0, 4, (1, 2))]),
        ([_at(0), 1, _at(4), _at(4.6), 2, _at(9)], [(0, 4, (1,)), (4.6, 9, (2,))]),
        # The model says that something begins, and ends.
        ([_at(0), 1, _at(4), _at(4)], [(0, 4, (1,))]),
        # Cut off: what has no end is to be heard again.
        ([_at(0), 1, _at(4), _at(4), 2], [(0, 4, (1,))]),
        # Nothing has an end: all that there is.
        ([_at(1), 1, 2], [(1, 10, (1, 2))]),
        ([1, 2], [(0, 10, (1, 2))]),
        # The model counts on into its padding.
        ([_at(0), 1, _at(12)], [(0, 10, (1,))]),
    ],
)
def test_split(tokens: Sequence[int], expected: list[tuple[float, float, tuple[int, ...]]]) -> None:
    """Times enclose text; what was cut off is left for another try."""
    found = split(tokens, FIRST, 10)
    assert [said.tokens for said in found] == [text for _, _, text in expected]
    times = [(said.start, said.end) for said in found]
    assert np.allclose(times, [(start, end) for start, end, _ in expected])
