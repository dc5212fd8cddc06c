"""A transcript at rest, in pages, and as a file.

Pure functions on ``batchscribe.v1.Transcript``. Nothing here trusts its text: it was spoken, titled
and published by strangers.
"""

import asyncio
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from batchscribe.v1.batch_service_pb2 import (
    TRANSCRIPT_FORMAT_JSON,
    TRANSCRIPT_FORMAT_JSONL,
    TRANSCRIPT_FORMAT_SRT,
    TRANSCRIPT_FORMAT_TXT,
    TRANSCRIPT_FORMAT_UNSPECIFIED,
    TRANSCRIPT_FORMAT_VTT,
    TranscriptFormat,
)
from batchscribe.v1.transcript_pb2 import Segment, Transcript
from google.protobuf import json_format
from google.protobuf.message import Message

from gateway import pages, subtitles
from gateway.errors import InvalidRequest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DEFAULT_PAGE_SIZE = 500
MAX_PAGE_SIZE = 2000
DEFAULT_LINE_LENGTH = 42
LINE_LENGTHS = range(16, 201)
DEFAULT_LINE_COUNT = 2
LINE_COUNTS = range(1, 5)

# Compressed sooner than a thread would answer.
PACKED_IN_PLACE_BYTES = 16 * 1024
# To make one takes ten times as long as to compress a short transcript. Threads need their own.
_COMPRESSOR = zstd.ZstdCompressor()

_MAX_TITLE_BYTES = 180  # A file name has at most 255, its id and ending included.
_MAX_ID_BYTES = 60

_RESERVED = re.compile(r'[/\\:*?"<>|]')

# Written without spaces between words.
_UNSPACED_LANGUAGES = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})


@dataclass(frozen=True)
class Exported:
    """A file: its bytes (UTF-8), its media type, and a name that is safe on any file system."""

    data: bytes
    media_type: str
    file_name: str


def pack(transcript: Transcript) -> bytes:
    """Return the transcript as it is stored."""
    return zstd.compress(transcript.SerializeToString())


async def packed(transcript: Transcript) -> bytes:
    """Return what ``pack`` does; a thread does it where it would hold the loop up."""
    if transcript.ByteSize() <= PACKED_IN_PLACE_BYTES:
        return _COMPRESSOR.compress(transcript.SerializeToString(), _COMPRESSOR.FLUSH_FRAME)
    return await asyncio.to_thread(pack, transcript)


def unpack(packed: bytes) -> Transcript:
    """Return the transcript that ``pack`` was given."""
    return Transcript.FromString(zstd.decompress(packed))


def page(transcript: Transcript, page_size: int, page_token: str) -> tuple[Transcript, str]:
    """Return the page of segments that ``page_token`` starts, with the token of the next.

    ``page_size`` as in GetTranscriptRequest. Raises InvalidRequest for a negative size and for a
    token of another transcript.
    """
    listed = transcript.transcription_id
    (start,) = pages.place(page_token, listed, pages.number) or (0,)
    end = start + pages.size(page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
    if start == 0 and end >= len(transcript.segments):
        return transcript, ""
    part = Transcript()
    part.CopyFrom(transcript)
    del part.segments[end:]
    del part.segments[:start]
    part.text = _joined(part.segments, transcript.language_code)
    return part, pages.token(listed, end) if end < len(transcript.segments) else ""


def export(
    transcript: Transcript,
    file_format: "TranscriptFormat.ValueType",
    max_line_length: int = 0,
    max_line_count: int = 0,
) -> Exported:
    """Return the transcript as a file; the limits are for subtitles, 0 means their default.

    Raises InvalidRequest for an unknown format and for limits out of range.
    """
    if file_format not in _WRITERS:
        raise InvalidRequest.of(
            "format", "FORMAT_UNKNOWN", "Use one of TXT, SRT, VTT, JSON, JSONL."
        )
    layout = subtitles.Layout(
        _in_range("max_line_length", max_line_length or DEFAULT_LINE_LENGTH, LINE_LENGTHS),
        _in_range("max_line_count", max_line_count or DEFAULT_LINE_COUNT, LINE_COUNTS),
    )
    ending, media_type, write = _WRITERS[file_format]
    return Exported(
        write(transcript, layout).encode(), media_type, f"{_file_stem(transcript)}.{ending}"
    )


def _joined(segments: Iterable[Segment], language_code: str) -> str:
    space = "" if language_code in _UNSPACED_LANGUAGES else " "
    return space.join(segment.text.strip() for segment in segments)


def _in_range(path: str, value: int, allowed: range) -> int:
    if value not in allowed:
        sentence = f"{value} is not in {allowed.start} to {allowed.stop - 1}; 0 means the default."
        raise InvalidRequest.of(path, "VALUE_OUT_OF_RANGE", sentence)
    return value


def _txt(transcript: Transcript, _: subtitles.Layout) -> str:
    lines = (subtitles.one_line(segment.text) for segment in transcript.segments)
    return "".join(f"{line}\n" for line in lines if line)


def _srt(transcript: Transcript, layout: subtitles.Layout) -> str:
    return subtitles.srt(subtitles.cues(transcript.segments, layout))


def _vtt(transcript: Transcript, layout: subtitles.Layout) -> str:
    return subtitles.vtt(subtitles.cues(transcript.segments, layout))


def _json(transcript: Transcript, _: subtitles.Layout) -> str:
    return _proto_json(transcript, indent=2) + "\n"


def _jsonl(transcript: Transcript, _: subtitles.Layout) -> str:
    return "".join(_proto_json(segment) + "\n" for segment in transcript.segments)


def _proto_json(message: Message, indent: int | None = None) -> str:
    return json_format.MessageToJson(
        message, always_print_fields_with_no_presence=True, indent=indent, ensure_ascii=False
    )


_Writer = Callable[[Transcript, subtitles.Layout], str]

# Ending, media type, writer.
_WRITERS: Mapping["TranscriptFormat.ValueType", tuple[str, str, _Writer]] = {
    TRANSCRIPT_FORMAT_UNSPECIFIED: ("txt", "text/plain; charset=utf-8", _txt),
    TRANSCRIPT_FORMAT_TXT: ("txt", "text/plain; charset=utf-8", _txt),
    TRANSCRIPT_FORMAT_SRT: ("srt", "application/x-subrip", _srt),
    TRANSCRIPT_FORMAT_VTT: ("vtt", "text/vtt", _vtt),
    TRANSCRIPT_FORMAT_JSON: ("json", "application/json", _json),
    TRANSCRIPT_FORMAT_JSONL: ("jsonl", "application/x-ndjson", _jsonl),
}


def _file_stem(transcript: Transcript) -> str:
    title = _safe(transcript.source.title, _MAX_TITLE_BYTES)
    identity = _safe(transcript.source.source_id or transcript.transcription_id, _MAX_ID_BYTES)
    return f"{title} [{identity}]" if title else f"[{identity}]"


def _safe(text: str, max_bytes: int) -> str:
    """Return what may stand in a file name: no separators, no reserved or unseen characters."""
    seen = "".join(
        char if char.isprintable() else " " for char in unicodedata.normalize("NFC", text)
    )
    kept = " ".join(_RESERVED.sub("_", seen).split())
    # A leading dot hides a file, a leading dash makes it an option.
    return kept.encode()[:max_bytes].decode(errors="ignore").lstrip(".- ").rstrip(". ")
