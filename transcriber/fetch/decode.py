"""Turns a media file into samples with PyAV, packet by packet.

A bad packet costs its own sound and no more: it is counted, and its place is filled with silence
so that all later times stay right. A file can open no other file and no address.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from transcriber.clips import Part
from transcriber.failures import VideoFailure
from transcriber.fetch.playlists import MAX_TITLE_LENGTH
from transcriber.fetch.track import Track, end_of

_FORMATS = (
    "mov,matroska,webm,mp3,ogg,wav,w64,flac,aac,ac3,eac3,amr,aiff,caf,mpegts,mpeg,avi,asf,flv"
)
_MICROSECONDS = 1_000_000
# A file that lacks more than both of these is cut; less is damage or rounding.
_SMALL_LOSS = 0.05
_SMALL_LOSS_SECONDS = 1.0
_MOST_BREAKS = 100  # Of a damaged container, after which the rest is given up.
_ORDERS: Mapping[bytes, Literal["little", "big"]] = {b"RIFF": "little", b"FORM": "big"}
# What is written for a length that is not known yet is not far below the largest number.
_UNKNOWN_BYTES = 0x7FFF0000


@dataclass(frozen=True)
class Media:
    """What a file says about itself. ``duration_seconds`` is 0 if it does not say."""

    title: str
    duration_seconds: float
    media_format: str


@dataclass(frozen=True)
class Decoded:
    """``bad_packets`` were skipped; ``missing_seconds`` were declared and are not in the file."""

    duration_seconds: float
    bad_packets: int
    missing_seconds: float


class MediaFile:
    """An open media file with an audio track. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Raises VideoFailure UNSUPPORTED_MEDIA, MEDIA_TRUNCATED or NO_AUDIO."""
        self._file = path.open("rb")
        try:
            self._promised = _promised_share(self._file)
            self._container = _open(self._file)
            self._stream = _audio_stream(self._container)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "MediaFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()
        self._file.close()

    @property
    def media(self) -> Media:
        return Media(
            title=self._container.metadata.get("title", "")[:MAX_TITLE_LENGTH],
            duration_seconds=self._declared_seconds(),
            media_format=f"{_short(self._container.format.name)}/{self._stream.codec_context.name}",
        )

    def decode(
        self, out: Path, part: Part, max_seconds: float, check: Callable[[], None]
    ) -> Decoded:
        """Write ``part`` of the audio track to ``out``: int16[n] little-endian, mono, 16 kHz.

        ``check`` is called between packets and raises to stop. Raises VideoFailure
        MEDIA_TRUNCATED, MEDIA_TOO_LONG, MEDIA_EMPTY or CLIP_OUTSIDE_MEDIA.
        """
        with out.open("wb") as file:
            track = Track(file, part, self._declared_seconds(), max_seconds)
            reached_seconds = 0.0
            for packet in self._packets(track):
                check()
                reached_seconds = max(reached_seconds, end_of(packet))
                if packet.stream_index == self._stream.index:
                    track.add(packet)
                if track.is_complete:
                    break
            track.end()
        missing = self._missing_seconds(part, max(track.reached_seconds, reached_seconds))
        if not track.seconds:
            raise VideoFailure("CLIP_OUTSIDE_MEDIA" if part.start_seconds else "MEDIA_EMPTY")
        return Decoded(track.seconds, track.bad_packets, missing)

    def _packets(self, track: Track) -> "Iterator[Packet[Any]]":
        """Yield the packets, over places where the container itself is damaged."""
        for _ in range(_MOST_BREAKS):
            try:
                yield from self._container.demux()
            except av.FFmpegError:
                track.bad_packets += 1
            else:
                return

    def _declared_seconds(self) -> float:
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base) * self._promised
        return (self._container.duration or 0) / _MICROSECONDS * self._promised

    def _missing_seconds(self, part: Part, reached_seconds: float) -> float:
        declared = min(self._declared_seconds(), part.end_seconds)
        missing = declared - reached_seconds
        if missing > max(_SMALL_LOSS_SECONDS, declared * _SMALL_LOSS):
            raise VideoFailure(
                "MEDIA_TRUNCATED",
                declared_seconds=round(declared, 1),
                reached_seconds=round(reached_seconds, 1),
            )
        return max(0.0, missing)


def _promised_share(file: BinaryIO) -> float:
    """Return by how much a WAV, AVI or AIFF file would be longer if it were whole.

    FFmpeg takes the length of such a file from its size, so that one cut short looks whole to it.
    """
    head = file.read(8)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    order = _ORDERS.get(head[:4])
    if order is None:
        return 1.0
    promised = int.from_bytes(head[4:], order) + len(head)
    return promised / size if size < promised < _UNKNOWN_BYTES else 1.0


def _open(file: BinaryIO) -> InputContainer:
    head = file.read(16)
    file.seek(0)
    try:
        return av.open(
            file,
            mode="r",
            container_options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"},
            io_open=_refuse,
        )
    except (av.FFmpegError, ValueError) as error:
        # An MP4 that lost its end has lost its index with it.
        reason = "MEDIA_TRUNCATED" if head[4:8] == b"ftyp" else "UNSUPPORTED_MEDIA"
        raise VideoFailure(reason) from error


def _refuse(url: str, flags: int, options: object) -> BinaryIO:
    raise PermissionError("media may not open other media")


def _audio_stream(container: InputContainer) -> AudioStream:
    # The track that a player would choose: a dub or a commentary may come first in the file.
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        raise VideoFailure("NO_AUDIO")
    if stream.codec_context is None:
        raise VideoFailure("UNSUPPORTED_MEDIA")
    return stream


def _short(format_name: str) -> str:
    return {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "webm"}.get(format_name, format_name)
