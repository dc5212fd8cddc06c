"""Parts of recordings."""

import math
from typing import Any

import pytest
from batchscribe.v1.batch_pb2 import Clip
from batchscribe.v1.transcript_pb2 import Segment, TimeRange, Transcript, Word
from google.protobuf.duration_pb2 import Duration

from transcriber.clips import Part, part_of, put_into_place


def test_a_clip_without_ends_is_the_whole() -> None:
    """What is unset reaches to the end of the recording on that side."""
    assert part_of(Clip()) == Part(0, math.inf)
    assert part_of(Clip(end_offset=Duration(nanos=500_000_000))) == Part(0, 0.5)


@pytest.mark.parametrize(
    ("part", "length"), [(Part(), 60), (Part(50), 10), (Part(10, 30), 20), (Part(70, 80), 0)]
)
def test_a_part_ends_with_its_recording(part: Part, length: float) -> None:
    """The length of a part is that of the audio in it."""
    assert part.length_of(60) == length


def test_every_time_is_put_into_place() -> None:
    """Segments, words and what could not be decoded move by the start of the clip."""
    start, end = Duration(seconds=1), Duration(seconds=1, nanos=500_000_000)
    word = Word(start_offset=start, end_offset=end)
    transcript = Transcript(
        segments=[Segment(start_offset=start, end_offset=end, words=[word])],
        undecoded=[TimeRange(start_offset=start, end_offset=end)],
    )
    put_into_place(transcript, Clip(start_offset=Duration(seconds=60)))
    segment = transcript.segments[0]
    spans: list[Any] = [segment, segment.words[0], transcript.undecoded[0]]
    for span in spans:
        assert span.start_offset.ToMilliseconds() == 61_000
        assert span.end_offset.ToMilliseconds() == 61_500
