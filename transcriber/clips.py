"""Parts of recordings: where a part lies, and a transcript of it in times of the whole."""

import math
from dataclasses import dataclass

from batchscribe.v1 import batch_pb2, transcript_pb2
from google.protobuf.duration_pb2 import Duration

_Span = transcript_pb2.Segment | transcript_pb2.Word | transcript_pb2.TimeRange


@dataclass(frozen=True)
class Part:
    """From ``start_seconds`` to ``end_seconds`` of a recording; the whole by default."""

    start_seconds: float = 0.0
    end_seconds: float = math.inf

    def length_of(self, whole_seconds: float) -> float:
        """Return how long the part of a recording of this length is; 0 if that is unknown."""
        return max(0.0, min(whole_seconds, self.end_seconds) - self.start_seconds)


def part_of(clip: batch_pb2.Clip) -> Part:
    """Return the part that ``clip`` asks for."""
    end = clip.end_offset.ToNanoseconds() / 1e9 if clip.HasField("end_offset") else math.inf
    return Part(clip.start_offset.ToNanoseconds() / 1e9, end)


def put_into_place(transcript: transcript_pb2.Transcript, clip: batch_pb2.Clip) -> None:
    """Turn the times of a transcript of ``clip`` into those of the whole recording."""
    words = [word for segment in transcript.segments for word in segment.words]
    spans: list[_Span] = [*transcript.segments, *words, *transcript.undecoded]
    for span in spans:
        _delay(span.start_offset, clip.start_offset)
        _delay(span.end_offset, clip.start_offset)


def _delay(time: Duration, by: Duration) -> None:
    time.FromNanoseconds(time.ToNanoseconds() + by.ToNanoseconds())
