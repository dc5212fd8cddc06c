"""What became of the windows of one file: text, silence, or a stretch that is reported.

Pure. Nothing is left out without a word: what a window says nothing about is to be tried again as
a window of its own, and what stays without text is in ``undecoded``.
"""

from collections.abc import Callable, Sequence

from batchscribe.v1 import batch_pb2, transcript_pb2

from transcriber.engine.decoding import Decoded
from transcriber.engine.quality import Verdict, best, judge
from transcriber.engine.segments import in_order, segment
from transcriber.engine.windows import PAD_SECONDS, Stretch, Window, holes

# Shorter speech without text is not worth another try.
SHORTEST_SPEECH_SECONDS = 0.4


class Transcription:
    """``text`` turns tokens into words; where nobody speaks none are to be expected."""

    def __init__(self, text: Callable[[Sequence[int]], str] = lambda tokens: "") -> None:
        self._text = text
        self._segments: list[transcript_pb2.Segment] = []
        self._undecoded: list[Stretch] = []
        self._errors: list[Exception] = []

    @property
    def segments(self) -> list[transcript_pb2.Segment]:
        return in_order(self._segments)

    @property
    def undecoded(self) -> list[Stretch]:
        """Stretches of the file, in order."""
        return sorted(self._undecoded)

    @property
    def warnings(self) -> list[batch_pb2.ItemWarning]:
        seconds = sum(end - start for start, end in self._undecoded)
        if not seconds:
            return []
        message = f"Of {seconds:.1f} s in which somebody seems to speak no text could be made."
        return [batch_pb2.ItemWarning(reason="SPEECH_UNDECODED", message=message)]

    def keep(self, window: Window, tried: Sequence[Decoded]) -> list[Window]:
        """Take the best of all that was tried; return the parts that are to be tried anew."""
        if judge(tried[-1]) is Verdict.SILENCE:
            return []
        decoded = best(tried)
        heard = []
        for said in decoded.utterances:
            text = self._text(said.tokens)
            if text and said.start < said.end:
                heard.append((said.start, said.end))
                self._segments.append(segment(window, said, text, decoded))
        if not heard:
            self._undecoded += window.stretches
            return []
        found = holes(heard, window.seconds, SHORTEST_SPEECH_SECONDS, PAD_SECONDS)
        return [part for hole in found if (part := window.part(hole))]

    def lose(self, window: Window, error: Exception) -> None:
        """Report what could not be decoded at all."""
        self._errors.append(error)
        self._undecoded += window.stretches

    def check(self) -> None:
        """Raise the first error if there is nothing else to show."""
        if self._errors and not self._segments:
            raise self._errors[0]
