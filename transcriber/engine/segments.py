"""What was said in a window, as segments of the transcript with times of the whole file."""

from collections.abc import Iterable

from batchscribe.v1 import transcript_pb2

from transcriber.engine.decoding import Decoded
from transcriber.engine.quality import compression_ratio
from transcriber.engine.utterances import Utterance, Word
from transcriber.engine.windows import Stretch, Window

Segment = transcript_pb2.Segment


def segment(window: Window, said: Utterance, text: str, decoded: Decoded) -> Segment:
    """Return a segment without its index."""
    made = Segment(
        text=text,
        avg_logprob=decoded.avg_logprob,
        no_speech_prob=decoded.no_speech_prob,
        compression_ratio=compression_ratio(decoded.text),
        words=[_word(window, word) for word in said.words],
    )
    _set_times(made, window, said)
    return made


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    """Number ``segments`` by their start and end each before the next begins."""
    ordered = sorted(segments, key=_start_ms)
    reached_ms = 0
    for index, one in enumerate(ordered):
        one.index = index
        one.start_offset.FromMilliseconds(max(_start_ms(one), reached_ms))
        reached_ms = max(one.end_offset.ToMilliseconds(), _start_ms(one))
        one.end_offset.FromMilliseconds(reached_ms)
    return ordered


def time_range(stretch: Stretch) -> transcript_pb2.TimeRange:
    made = transcript_pb2.TimeRange()
    made.start_offset.FromMilliseconds(round(stretch[0] * 1000))
    made.end_offset.FromMilliseconds(round(stretch[1] * 1000))
    return made


def _start_ms(one: Segment) -> int:
    return one.start_offset.ToMilliseconds()


def _word(window: Window, word: Word) -> transcript_pb2.Word:
    made = transcript_pb2.Word(word=word.text, probability=word.probability)
    _set_times(made, window, word)
    return made


def _set_times(
    made: Segment | transcript_pb2.Word, window: Window, heard: Utterance | Word
) -> None:
    start = window.file_seconds(heard.start, ends=False)
    end = window.file_seconds(heard.end, ends=True)
    made.start_offset.FromMilliseconds(round(start * 1000))
    made.end_offset.FromMilliseconds(round(max(start, end) * 1000))
