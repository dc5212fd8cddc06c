"""Samples in the making: frames of any format come in, 16-bit mono at 16 kHz goes into a file.

A sample's place in the recording follows from the frames' own times, so that what is damaged or
left out costs no later sound its time.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.packet import Packet

from transcriber.clips import Part
from transcriber.failures import VideoFailure

SAMPLE_RATE = 16_000
SAMPLE_BYTES = 2

_SHORTEST_GAP_SECONDS = 0.1  # Less is rounding of time stamps.
_LONGEST_BLIND_GAP_SECONDS = 60.0  # Where no length is declared, more is a broken time stamp.
# Codecs need some of what comes before to give the right sound.
_RUN_UP_SECONDS = 1.0
_SILENCE = bytes(60 * SAMPLE_RATE * SAMPLE_BYTES)


class Track:
    """The audio of a part of a recording. ``declared_seconds`` is 0 if unknown."""

    def __init__(
        self, file: BinaryIO, part: Part, declared_seconds: float, max_seconds: float
    ) -> None:
        self.bad_packets = 0
        self._file = file
        self._part = part
        self._first = round(part.start_seconds * SAMPLE_RATE)
        self._declared_seconds = declared_seconds
        self._max_seconds = max_seconds
        self._resampler = _Resampler()
        self._place = 0  # Of the next sample, in the whole recording.
        self._written = 0
        self._has_skipped = False

    @property
    def seconds(self) -> float:
        """Length of what was written."""
        return self._written / SAMPLE_RATE

    @property
    def reached_seconds(self) -> float:
        """How far into the recording the track is."""
        return self._place / SAMPLE_RATE

    @property
    def is_complete(self) -> bool:
        return self.reached_seconds >= self._part.end_seconds

    def add(self, packet: "Packet[Any]") -> None:
        """Append a packet's sound. Raises VideoFailure MEDIA_TOO_LONG."""
        if 0 < end_of(packet) < self._part.start_seconds - _RUN_UP_SECONDS:
            self._has_skipped = True
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self.bad_packets += 1
            return
        for frame in frames:
            assert isinstance(frame, AudioFrame)
            self._find_place(frame)
            for resampled in self._resampler.push(frame):
                self._append(memoryview(resampled.planes[0])[: resampled.samples * SAMPLE_BYTES])

    def end(self) -> None:
        """Append what is left in the resampler."""
        for resampled in self._resampler.flush():
            self._append(memoryview(resampled.planes[0])[: resampled.samples * SAMPLE_BYTES])

    def _find_place(self, frame: AudioFrame) -> None:
        time_seconds = frame.time or 0.0
        if self._has_skipped:
            self._place = round(time_seconds * SAMPLE_RATE)
            self._has_skipped = False
        gap = time_seconds - self.reached_seconds
        if _SHORTEST_GAP_SECONDS < gap <= self._longest_gap_seconds():
            self._append_silence(int(gap * SAMPLE_RATE))

    def _longest_gap_seconds(self) -> float:
        if self._declared_seconds:
            return self._declared_seconds - self.reached_seconds
        return _LONGEST_BLIND_GAP_SECONDS

    def _append_silence(self, samples: int) -> None:
        missing_bytes = samples * SAMPLE_BYTES
        while missing_bytes > 0 and not self.is_complete:
            silence = memoryview(_SILENCE)[:missing_bytes]
            self._append(silence)
            missing_bytes -= len(silence)

    def _append(self, data: memoryview) -> None:
        begin, end = self._place, self._place + len(data) // SAMPLE_BYTES
        self._place = end
        first = max(begin, self._first)
        last = min(end, self._part.end_seconds * SAMPLE_RATE)
        if first < last:
            self._write(data[(first - begin) * SAMPLE_BYTES : int(last - begin) * SAMPLE_BYTES])

    def _write(self, data: memoryview) -> None:
        self._file.write(data)
        self._written += len(data) // SAMPLE_BYTES
        if self.seconds > self._max_seconds:
            raise VideoFailure("MEDIA_TOO_LONG", limit_seconds=int(self._max_seconds))


def end_of(packet: "Packet[Any]") -> float:
    """Return the time at which the packet ends, in seconds; 0 if it does not say."""
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


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
