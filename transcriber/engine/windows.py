"""Speech as windows: pieces of one file that the model hears as one.

Pure: knows positions in samples, no audio and no model. Windows end where nobody speaks if that
can be had; every sample of speech is in exactly one window.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

SAMPLE_RATE = 16_000
# Silence that is kept before and after speech; with less, words at the edges are lost.
PAD_SECONDS = 0.4
# A shorter pause is kept whole: what the detector takes for one may be somebody who speaks softly.
PAUSE_SECONDS = 2.0
_PAD = int(PAD_SECONDS * SAMPLE_RATE)
_PAUSE = int(PAUSE_SECONDS * SAMPLE_RATE)

# The pieces of a window: (start, end) in samples of the file, in order.
Piece = tuple[int, int]
# A stretch of a window or of the file, in seconds.
Stretch = tuple[float, float]


@dataclass(frozen=True)
class Window:
    """What lies between the pieces is left out, so a time in the window is none of the file."""

    pieces: tuple[Piece, ...]

    @property
    def start(self) -> int:
        return self.pieces[0][0]

    @property
    def end(self) -> int:
        return self.pieces[-1][1]

    @property
    def length(self) -> int:
        """Samples that the model hears."""
        return sum(end - start for start, end in self.pieces)

    @property
    def seconds(self) -> float:
        return self.length / SAMPLE_RATE

    @property
    def stretches(self) -> list[Stretch]:
        """The pieces in seconds of the file."""
        return [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in self.pieces]

    def file_seconds(self, seconds: float, *, ends: bool) -> float:
        """Return the time in the file; at a seam what ``ends`` there belongs to the piece before.

        The model counts on into its own padding: no time is later than the window.
        """
        left = round(seconds * SAMPLE_RATE)
        for start, end in self.pieces:
            length = end - start
            if left < length or (ends and left == length):
                return (start + left) / SAMPLE_RATE
            left -= length
        return self.end / SAMPLE_RATE

    def part(self, stretch: Stretch) -> "Window | None":
        """Return what lies in ``stretch`` of the window; None if that is nothing."""
        first, last = (round(seconds * SAMPLE_RATE) for seconds in stretch)
        pieces = []
        before = 0
        for start, end in self.pieces:
            inner = (max(start, start + first - before), min(end, start + last - before))
            if inner[0] < inner[1]:
                pieces.append(inner)
            before += end - start
        return Window(tuple(pieces)) if pieces else None


def surround(speech: Sequence[Piece], span: Piece) -> list[Piece]:
    """Return ``speech``, which lies in ``span``, with the silence to be kept around each piece."""
    if not speech:
        return []
    starts, ends = zip(*speech, strict=True)
    first = span[0] if _is_pause(span[0], starts[0]) else starts[0] - _PAD
    last = span[1] if _is_pause(ends[-1], span[1]) else ends[-1] + _PAD
    edges = [first]
    for end, start in zip(ends, starts[1:], strict=False):
        middle = (end + start) // 2
        edges += (middle, middle) if _is_pause(end, start) else (end + _PAD, start - _PAD)
    edges.append(last)
    return list(zip(edges[::2], edges[1::2], strict=True))


def _is_pause(start: int, end: int) -> bool:
    return end - start < _PAUSE


def pack(pieces: Iterable[Piece], most: int) -> Iterator[Window]:
    """Yield windows of at most ``most`` samples; a piece that is longer is a window of its own."""
    packed: list[Piece] = []
    length = 0
    for start, end in pieces:
        if packed and length + end - start > most:
            yield Window(tuple(packed))
            packed, length = [], 0
        packed.append((start, end))
        length += end - start
    if packed:
        yield Window(tuple(packed))


def holes(heard: Sequence[Stretch], seconds: float, speech: float, silence: float) -> list[Stretch]:
    """Return the stretches of a window of ``seconds`` in which speech was not heard.

    A window has ``silence`` at both ends, and up to twice as much inside it; a hole is long enough
    to hold that and ``speech`` seconds more.
    """
    reached = 0.0
    found = []
    for start, end in [*sorted(heard), (seconds, seconds)]:
        inside = reached > 0 and start < seconds
        if start - reached >= speech + silence * (2 if inside else 1):
            found.append((reached, start))
        reached = max(reached, end)
    return found
