"""Makes the sample clips that are committed beside this file, from ``texts.json``.

Run it again only to change a clip: ``python samples/make.py [FOLDER]``. It needs Debian's
``flite`` for the voice; everything else is PyAV. The container and its codecs follow from a file's
name.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

HERE = Path(__file__).parent
WIDTH, HEIGHT, FRAMES_PER_SECOND = 160, 90, 5
SILENT_SECONDS = 6


class AudioFormat(NamedTuple):
    codec: Literal["aac", "libopus", "mp3"]
    sample_rate: int
    bit_rate: int


AUDIO_FORMATS = {
    ".mp4": AudioFormat("aac", 16_000, 48_000),
    ".webm": AudioFormat("libopus", 48_000, 32_000),
    ".m4a": AudioFormat("aac", 16_000, 48_000),
    ".mp3": AudioFormat("mp3", 16_000, 48_000),
}


def speak(text: str, voice: str, path: Path) -> None:
    command = ["flite", "-voice", voice, "--setf", "duration_stretch=1.1", "-t", text, "-o"]
    subprocess.run([*command, str(path)], check=True)


def pictures(seconds: float) -> Iterator[av.VideoFrame]:
    """Yield frames of a plain colour that drifts, so that they compress to almost nothing."""
    for number in range(round(seconds * FRAMES_PER_SECOND)):
        pixels = np.full((HEIGHT, WIDTH, 3), (40, 80, number * 2 % 256), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = number
        frame.time_base = Fraction(1, FRAMES_PER_SECOND)
        yield frame


def add_pictures(out: OutputContainer) -> VideoStream:
    stream = out.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "40"})
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    return stream


def add_speech(out: OutputContainer, audio: AudioFormat) -> AudioStream:
    stream = out.add_stream(audio.codec, rate=audio.sample_rate, layout="mono")
    stream.bit_rate = audio.bit_rate
    return stream


def write_pictures(out: OutputContainer, stream: VideoStream, seconds: float) -> None:
    for frame in pictures(seconds):
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


def write_speech(out: OutputContainer, stream: AudioStream, speech: InputContainer) -> None:
    for frame in speech.decode(audio=0):
        out.mux(stream.encode(frame))
    out.mux(stream.encode())


def length_seconds(path: Path) -> float:
    with av.open(str(path)) as media:
        return float(media.duration or 0) / av.time_base


def make_silent(path: Path, title: str) -> None:
    with av.open(str(path), "w") as out:
        out.metadata["title"] = title
        write_pictures(out, add_pictures(out), SILENT_SECONDS)


def make_spoken(path: Path, title: str, speech_path: Path) -> None:
    with av.open(str(path), "w") as out, av.open(str(speech_path)) as speech:
        out.metadata["title"] = title
        # The first packet writes the header, so every stream is added before it.
        video = add_pictures(out) if path.suffix == ".mp4" else None
        audio = add_speech(out, AUDIO_FORMATS[path.suffix])
        if video:
            write_pictures(out, video, length_seconds(speech_path))
        write_speech(out, audio, speech)


def main(folder: Path) -> None:
    clips = json.loads((HERE / "texts.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        for name, clip in clips.items():
            path = folder / name
            if clip["audio"]:
                speech_path = Path(scratch) / f"{name}.wav"
                speak(clip["text"], clip["voice"], speech_path)
                make_spoken(path, clip["title"], speech_path)
            else:
                make_silent(path, clip["title"])
            print(f"{name}: {length_seconds(path):.1f} s, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
