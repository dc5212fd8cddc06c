"""Nothing is lost between the windows and the transcript."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcriber.engine.decoding import Decoded
from transcriber.engine.transcription import SHORTEST_SPEECH_SECONDS, Transcription
from transcriber.engine.utterances import Utterance
from transcriber.engine.windows import PAD_SECONDS, SAMPLE_RATE, Window, pack

SECOND = SAMPLE_RATE
LONGEST_PAUSE_MS = (SHORTEST_SPEECH_SECONDS + 2 * PAD_SECONDS) * 1000


def _decoded(window: Window, heard: list[tuple[float, float]]) -> Decoded:
    """Return an answer in which the given fractions of the window have text."""
    said = [Utterance(start * window.seconds, end * window.seconds, (1,)) for start, end in heard]
    return Decoded(said, "words", -0.2, 0.1)


@given(st.data())
def test_every_window_ends_as_text_or_is_reported(data: st.DataObject) -> None:
    """Whatever is heard in whatever order: no stretch of speech is left without a word."""
    lengths = data.draw(st.lists(st.integers(SECOND, 15 * SECOND), min_size=1, max_size=6))
    pieces = []
    start = 0
    for length in lengths:
        pieces.append((start, start + length))
        start += length + SECOND
    waiting = list(pack(pieces, 15 * SECOND))
    transcription = Transcription(lambda tokens: "words")
    fractions = st.lists(
        st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda pair: (min(pair), max(pair))),
        max_size=3,
    )
    while waiting:
        window = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
        if data.draw(st.booleans()):
            transcription.lose(window, RuntimeError("a bad row"))
        else:
            waiting += transcription.keep(window, [_decoded(window, data.draw(fractions))])
    told = sorted(
        [
            *(
                (one.start_offset.ToMilliseconds(), one.end_offset.ToMilliseconds())
                for one in transcription.segments
            ),
            *((start * 1000, end * 1000) for start, end in transcription.undecoded),
        ]
    )
    for start, end in pieces:
        _assert_told(start / SECOND * 1000, end / SECOND * 1000, told)
    starts = [one.start_offset.ToMilliseconds() for one in transcription.segments]
    assert starts == sorted(starts)


def _assert_told(start_ms: float, end_ms: float, told: list[tuple[float, float]]) -> None:
    reached = start_ms
    for begin, end in [*told, (end_ms, end_ms)]:
        if (end > start_ms and begin < end_ms) or begin == end_ms:
            assert begin - reached <= LONGEST_PAUSE_MS + 2
            reached = max(reached, end)


def test_segments_do_not_overlap() -> None:
    """A segment begins where the one before has ended, at the earliest."""
    window = Window(((0, 10 * SECOND),))
    transcription = Transcription(lambda tokens: "words")
    transcription.keep(window, [_decoded(window, [(0, 0.6), (0.5, 1)])])
    first, second = transcription.segments
    assert first.end_offset == second.start_offset
    assert (first.index, second.index) == (0, 1)


def test_silence_is_neither_text_nor_loss() -> None:
    """Where the model is sure that nobody speaks there is nothing to report."""
    transcription = Transcription(lambda tokens: "words")
    silence = Decoded([Utterance(0, 1, (1,))], "Thank you.", -1.5, 0.9)
    assert transcription.keep(Window(((0, SECOND),)), [silence, silence]) == []
    assert (transcription.segments, transcription.undecoded) == ([], [])


def test_what_is_lost_is_reported() -> None:
    """A window that could not be decoded is named, and the item carries a warning."""
    transcription = Transcription(lambda tokens: "words")
    transcription.keep(Window(((0, SECOND),)), [_decoded(Window(((0, SECOND),)), [(0, 1)])])
    transcription.lose(Window(((3 * SECOND, 5 * SECOND),)), RuntimeError("a bad row"))
    transcription.check()
    assert transcription.undecoded == [(3, 5)]
    (warning,) = transcription.warnings
    assert warning.reason == "SPEECH_UNDECODED"
    assert "2.0 s" in warning.message


def test_a_file_that_fails_as_a_whole_raises() -> None:
    """Errors alone are no transcript."""
    transcription = Transcription(lambda tokens: "words")
    transcription.lose(Window(((0, SECOND),)), RuntimeError("a broken device"))
    with pytest.raises(RuntimeError, match="a broken device"):
        transcription.check()
