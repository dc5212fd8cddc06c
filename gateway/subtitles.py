"""Subtitles: the segments of a transcript as timed cues that fit a screen, in SRT and WebVTT.

Cues come in order and never overlap. Their text is foreign: nothing in it may act as markup, a tag
or a time line in the format it is written to.
"""

import html
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import pysubs2
from batchscribe.v1.transcript_pb2 import Segment

_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")

# SubRip has no escapes. Players know a tag by "<x" or "{\x", so nothing visible goes between.
_ZERO_WIDTH_SPACE = "\u200b"
_SRT_MARKUP = re.compile(r"[<{]|--(?=>)")
# pysubs2 takes these for line breaks and hard spaces in every format.
_SSA_BREAK = re.compile(r"\\(?=[hnN])")


@dataclass(frozen=True)
class Layout:
    """How much one cue may show: ``line_count`` lines of ``line_length`` characters."""

    line_length: int
    line_count: int


@dataclass(frozen=True)
class Cue:
    """Lines shown together, from ``start_ms`` to ``end_ms``."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def one_line(text: str) -> str:
    """Return ``text`` without control characters and line breaks, words apart by single spaces."""
    return " ".join(text.translate(_CONTROLS).split())


def cues(segments: Iterable[Segment], layout: Layout) -> list[Cue]:
    """Return the segments as cues, long ones split; each lasts a millisecond at least."""
    placed: list[Cue] = []
    free_from_ms = 0
    for segment in segments:
        for cue in _split(segment, layout):
            start_ms = max(cue.start_ms, free_from_ms)
            free_from_ms = max(cue.end_ms, start_ms + 1)
            placed.append(Cue(start_ms, free_from_ms, cue.lines))
    return placed


def srt(shown: Iterable[Cue]) -> str:
    """Return ``shown`` as a SubRip file."""
    return _written(shown, "srt", lambda line: _SRT_MARKUP.sub(rf"\g<0>{_ZERO_WIDTH_SPACE}", line))


def vtt(shown: Iterable[Cue]) -> str:
    """Return ``shown`` as a WebVTT file."""
    return _written(shown, "vtt", lambda line: html.escape(line, quote=False))


def _written(shown: Iterable[Cue], file_format: str, escape: Callable[[str], str]) -> str:
    file = pysubs2.SSAFile()
    for cue in shown:
        text = _SSA_BREAK.sub(rf"\\{_ZERO_WIDTH_SPACE}", "\n".join(map(escape, cue.lines)))
        file.append(pysubs2.SSAEvent(start=cue.start_ms, end=cue.end_ms, text=text))
    return file.to_string(file_format, keep_ssa_tags=True, apply_styles=False)


def _split(segment: Segment, layout: Layout) -> Iterator[Cue]:
    text = one_line(segment.text)
    if not text:
        return
    times = _character_times(segment, text)
    lines = textwrap.wrap(text, layout.line_length, break_on_hyphens=False)
    first = 0
    for at in range(0, len(lines), layout.line_count):
        shown = tuple(lines[at : at + layout.line_count])
        end = first + sum(map(_visible_length, shown))
        yield Cue(times[first][0], times[end - 1][1], shown)
        first = end


def _character_times(segment: Segment, text: str) -> list[tuple[int, int]]:
    """Return start and end in ms for each character of ``text`` that is no space.

    From the words where they spell the text, else by even shares of the segment.
    """
    by_words = [
        (word.start_offset.ToMilliseconds(), word.end_offset.ToMilliseconds())
        for word in segment.words
        for _ in range(_visible_length(one_line(word.word)))
    ]
    count = _visible_length(text)
    if len(by_words) == count:
        return by_words
    start_ms = segment.start_offset.ToMilliseconds()
    length_ms = segment.end_offset.ToMilliseconds() - start_ms
    edges = [start_ms + length_ms * number // count for number in range(count + 1)]
    return list(pairwise(edges))


def _visible_length(text: str) -> int:
    return len(text) - text.count(" ")
