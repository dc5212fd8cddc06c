"""Which of several texts is kept."""

import pytest

from transcriber.engine.hypotheses import likeliest


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["Lackful flavor.", "Lack full flavor.", "lack full, flavor"], 1),
        (["Lackful flavor.", "Lack full flavor.", "Luck full flavor."], 0),
        (["नदी", "कि", "की"], 0),
        ([""], 0),
    ],
)
def test_the_same_words_count_together(texts: list[str], kept: int) -> None:
    """Two likely ways to write one thing outweigh a likelier text; other words do not."""
    logprobs = [-10.0, -10.3, -10.4][: len(texts)]
    assert likeliest(texts, logprobs) == kept


def test_of_long_texts_the_likeliest_is_found() -> None:
    """Probabilities too small for a float are compared all the same."""
    assert likeliest(["So", "Or so", "or so"], [-9000.0, -9000.3, -9000.4]) == 1
