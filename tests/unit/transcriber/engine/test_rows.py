"""What of a row the model is shown."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber.engine.rows import (
    FRAMES_PER_SECOND,
    FULL_FRAMES,
    MARGIN_FRAMES,
    Decoding,
    Detection,
    Model,
    Row,
)

LEAST_SILENCE_FRAMES = 200
NOTHING: Any = None
MODEL = Model("scripted", "", NOTHING, np.zeros((1, 1500, 1), np.float32))
DECODING = Decoding(MODEL, beam_size=5, prompt_length=1)


def row(seconds: float, ask: Detection | Decoding = DECODING) -> Row:
    frames = round(seconds * FRAMES_PER_SECOND)
    return Row(ask, np.zeros((1, frames), np.float32), NOTHING)


def test_long_rows_share_batches() -> None:
    """The decoder sees half a minute of them, however long they are; the encoder does not."""
    assert row(9).group == row(19).group
    assert row(9).encoded_frames < row(19).encoded_frames < FULL_FRAMES == row(19).axis


def test_a_short_row_is_no_neighbour_of_a_long_one() -> None:
    """Not on the full axis either: long rows are offered fewer times."""
    again = replace(DECODING, full_axis=True)
    assert row(3, again).axis == row(9, again).axis
    assert row(3, again).group != row(9, again).group


def test_where_encoding_is_cheap_no_second_try_repeats_the_first() -> None:
    """A model without a silence hears all of a long row's half minute at once."""
    cheap = replace(MODEL, silence=np.empty((1, 0, 0), np.float32))
    assert row(9, replace(DECODING, model=cheap)).is_on_full_axis
    assert not row(3, replace(DECODING, model=cheap)).is_on_full_axis


def test_short_rows_are_short_for_the_decoder_too() -> None:
    """Nor is more of a row looked at to tell its language."""
    for short in (row(3), row(12, Detection(MODEL))):
        assert short.axis == short.encoded_frames < FULL_FRAMES


@given(st.floats(0.5, 30))
def test_no_axis_cuts_a_row(seconds: float) -> None:
    """There is room for the row and for some silence after it, up to half a minute."""
    one = row(seconds)
    assert one.encoded_frames >= min(one.frames + LEAST_SILENCE_FRAMES, FULL_FRAMES)
    assert one.axis >= min(one.frames + MARGIN_FRAMES, FULL_FRAMES)


@pytest.mark.parametrize("seconds", [3, 19])
def test_a_second_try_is_heard_on_the_full_axis(seconds: float) -> None:
    """Whatever its length, the encoder is given the half minute that it was trained on."""
    again = replace(DECODING, full_axis=True)
    assert row(seconds, again).is_on_full_axis
    assert not row(seconds).is_on_full_axis
