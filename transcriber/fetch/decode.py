"""Turns a media file into samples with PyAV, packet by packet.

A bad packet costs its own sound and no more: it is counted, and its place is filled with silence
so that all later times stay right. A file can open no other file and no address.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from transcriber.failures import VideoFailure

SAMPLE_RATE = 16_000
SAMPLE_BYTES = 2

_FORMATS = (
    "mov,matroska,webm,mp3,ogg,wav,w64,flac,aac,ac3,eac3,amr,aiff,caf,mpegts,mpeg,avi,asf,flv"
)
_MICROSECONDS = 1_000_000
_SHORTEST_GAP_SECONDS = 0.1  # Less is rounding of time stamps.
_LONGEST_BLIND_GAP_SECONDS = 60.0  # Where no length is declared, more is a broken time stamp.
# A file that lacks more than both of these is cut; less is damage or rounding.
_SMALL_LOSS = 0.05
_SMALL_LOSS_SECONDS = 1.0


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
            title=self._container.metadata.get("title", ""),
            duration_seconds=self._declared_seconds(),
            media_format=f"{_short(self._container.format.name)}/{self._stream.codec_context.name}",
        )

    def decode(self, out: Path, max_seconds: float, check: Callable[[], None]) -> Decoded:
        """Write the audio track to ``out``: int16[n] little-endian, mono, 16 kHz.

        ``check`` is called between packets and raises to stop. Raises VideoFailure
        MEDIA_TRUNCATED, MEDIA_TOO_LONG or MEDIA_EMPTY.
        """
        with out.open("wb") as file:
            track = _Track(file, self._declared_seconds(), max_seconds)
            reached_seconds = 0.0
            for packet in self._container.demux():
                check()
                reached_seconds = max(reached_seconds, _end_of(packet))
                if packet.stream_index == self._stream.index:
                    track.add(packet)
            track.end()
        missing_seconds = self._missing_seconds(max(track.seconds, reached_seconds))
        if not track.samples:
            raise VideoFailure("MEDIA_EMPTY")
        return Decoded(track.seconds, track.bad_packets, missing_seconds)

    def _declared_seconds(self) -> float:
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        return (self._container.duration or 0) / _MICROSECONDS

    def _missing_seconds(self, reached_seconds: float) -> float:
        declared = self._declared_seconds()
        missing = declared - reached_seconds
        if missing > max(_SMALL_LOSS_SECONDS, declared * _SMALL_LOSS):
            raise VideoFailure(
                "MEDIA_TRUNCATED",
                declared_seconds=round(declared, 1),
                reached_seconds=round(reached_seconds, 1),
            )
        return max(0.0, missing)


class _Track:
    """Samples in the making."""

    def __init__(self, file: BinaryIO, declared_seconds: float, max_seconds: float) -> None:
        self.samples = 0
        self.bad_packets = 0
        self._file = file
        self._declared_seconds = declared_seconds
        self._max_seconds = max_seconds
        self._resampler = _Resampler()

    @property
    def seconds(self) -> float:
        return self.samples / SAMPLE_RATE

    def add(self, packet: "Packet[Any]") -> None:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self.bad_packets += 1
            return
        for frame in frames:
            assert isinstance(frame, AudioFrame)
            self._fill_gap(frame)
            for resampled in self._resampler.push(frame):
                self._write(resampled)

    def end(self) -> None:
        for resampled in self._resampler.flush():
            self._write(resampled)

    def _fill_gap(self, frame: AudioFrame) -> None:
        gap = (frame.time or 0.0) - self.seconds
        limit = (
            self._declared_seconds - self.seconds
            if self._declared_seconds
            else _LONGEST_BLIND_GAP_SECONDS
        )
        if _SHORTEST_GAP_SECONDS < gap <= limit:
            self._append(bytes(int(gap * SAMPLE_RATE) * SAMPLE_BYTES))

    def _write(self, frame: AudioFrame) -> None:
        self._append(memoryview(frame.planes[0])[: frame.samples * SAMPLE_BYTES])

    def _append(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self.samples += len(data) // SAMPLE_BYTES
        if self.seconds > self._max_seconds:
            raise VideoFailure("MEDIA_TOO_LONG", limit_seconds=int(self._max_seconds))


class _Resampler:
    """Made anew where the format changes within the file, which PyAV's own does not take."""

    def __init__(self) -> None:
        self._format: tuple[str, str, int] | None = None
        self._resampler = _new_resampler()

    def push(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        format_now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._format not in (None, format_now):
            yield from self.flush()
        self._format = format_now
        frame.pts = None  # Gaps are filled by us.
        yield from self._resampler.resample(frame)

    def flush(self) -> Iterator[AudioFrame]:
        if self._format is not None:
            yield from self._resampler.resample(None)
        self._resampler = _new_resampler()
        self._format = None


def _new_resampler() -> AudioResampler:
    return AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)


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
    if not container.streams.audio:
        raise VideoFailure("NO_AUDIO")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise VideoFailure("UNSUPPORTED_MEDIA")
    return stream


def _end_of(packet: "Packet[Any]") -> float:
    """Return the time at which the packet ends, in seconds; 0 if it does not say."""
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


def _short(format_name: str) -> str:
    return {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "webm"}.get(format_name, format_name)
