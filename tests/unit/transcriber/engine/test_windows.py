"""Windows: what they hold, and where their times lie in the file."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber.engine.windows import SAMPLE_RATE, Piece, Window, holes, pack, surround

MOST = 15 * SAMPLE_RATE


@st.composite
def speech(draw: st.DrawFn) -> list[Piece]:
    """Pieces in order, none longer than a window."""
    pieces = []
    start = 0
    for pause, length in draw(st.lists(st.tuples(st.integers(0, MOST), st.integers(1, MOST)))):
        start += pause
        pieces.append((start, start + length))
        start += length
    return pieces


@given(speech())
def test_packing_keeps_every_piece_in_order(pieces: list[Piece]) -> None:
    """All speech is in exactly one window, and none is longer than asked."""
    windows = list(pack(pieces, MOST))
    assert [piece for window in windows for piece in window.pieces] == pieces
    assert all(0 < window.length <= MOST for window in windows)


def test_windows_are_filled() -> None:
    """Neighbours share a window as long as they fit."""
    second = SAMPLE_RATE
    pieces = [(0, 8 * second), (9 * second, 15 * second), (20 * second, 25 * second)]
    assert list(pack(pieces, MOST)) == [Window(tuple(pieces[:2])), Window(tuple(pieces[2:]))]


def _seconds(*pieces: tuple[float, float]) -> list[Piece]:
    return [(int(start * SAMPLE_RATE), int(end * SAMPLE_RATE)) for start, end in pieces]


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([], []),
        # Long silence: a little of it on either side.
        ([(5, 10)], [(4.6, 10.4)]),
        # Pauses are kept whole, those at the edges too.
        ([(1, 10), (11, 19)], [(0, 10.5), (10.5, 20)]),
        ([(1, 5), (15, 19)], [(0, 5.4), (14.6, 20)]),
    ],
)
def test_only_long_silence_is_left_out(
    found: list[tuple[float, float]], kept: list[tuple[float, float]]
) -> None:
    """Whom the detector takes for silent for a moment is heard all the same."""
    assert surround(_seconds(*found), (0, 20 * SAMPLE_RATE)) == _seconds(*kept)


@given(speech())
def test_silence_belongs_to_one_piece(pieces: list[Piece]) -> None:
    """All speech stays in its piece, within the span, and no sample is in two pieces."""
    end = pieces[-1][1] if pieces else 0
    kept = surround(pieces, (0, end))
    for (start, stop), (kept_start, kept_stop) in zip(pieces, kept, strict=True):
        assert 0 <= kept_start <= start < stop <= kept_stop <= end
    for (_, stop), (start, _) in itertools.pairwise(kept):
        assert stop <= start


TWO = Window(((SAMPLE_RATE, 3 * SAMPLE_RATE), (10 * SAMPLE_RATE, 14 * SAMPLE_RATE)))


@pytest.mark.parametrize(
    ("seconds", "ends", "expected"),
    [(0, False, 1), (1.5, False, 2.5), (2, True, 3), (2, False, 10), (3, True, 11), (9, True, 14)],
)
def test_times_are_those_of_the_file(seconds: float, ends: bool, expected: float) -> None:
    """The pause that was left out counts, and at the seam an end stays with what it ends."""
    assert TWO.file_seconds(seconds, ends=ends) == expected


def test_a_part_may_span_pieces() -> None:
    """A stretch of a window is a window again."""
    assert TWO.part((1, 3)) == Window(
        ((2 * SAMPLE_RATE, 3 * SAMPLE_RATE), (10 * SAMPLE_RATE, 11 * SAMPLE_RATE))
    )
    assert TWO.part((6, 7)) is None


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)).map(lambda pair: tuple(sorted(pair))))
)
def test_holes_are_what_was_not_heard(heard: list[tuple[float, float]]) -> None:
    """No hole overlaps what was heard, and none is shorter than asked."""
    for start, end in holes(heard, 20, 1.5, 0):
        assert end - start >= 1.5
        assert not any(start < other_end and other < end for other, other_end in heard)


def test_silence_at_both_ends_and_between() -> None:
    """Holes are found before, between and after; short ones are not."""
    assert holes([(2, 5), (5.5, 7), (9, 12)], 15, 1, 0.4) == [(0, 2), (7, 9), (12, 15)]
