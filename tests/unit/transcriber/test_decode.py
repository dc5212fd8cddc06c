"""Media files in every state of health."""

import io
import random
import resource
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray

from tests.media import CONTAINERS, RATE, encode, long_silence, tone
from transcriber.clips import Part
from transcriber.diagnosis import classify
from transcriber.failures import VideoFailure
from transcriber.fetch.decode import Decoded, MediaFile

_WHOLE = Part()
_UNREADABLE = {
    "UNSUPPORTED_MEDIA",
    "MEDIA_TRUNCATED",
    "MEDIA_EMPTY",
    "MEDIA_TOO_LONG",
    "NO_AUDIO",
}


def _decode(directory: Path, media: bytes, max_seconds: float = 60, part: Part = _WHOLE) -> Decoded:
    path = directory / "media"
    path.write_bytes(media)
    with MediaFile(path) as file:
        return file.decode(directory / "samples", part, max_seconds, lambda: None)


def _outcome(directory: Path, media: bytes) -> Decoded | str:
    """Return what was decoded, or the reason why nothing was."""
    try:
        return _decode(directory, media)
    except (VideoFailure, av.FFmpegError) as failure:
        return classify(failure).reason


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _samples(directory: Path) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.fromfile(directory / "samples", dtype="<i2")


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_are_decoded(tmp_path: Path, container: str) -> None:
    """Every usual container gives its sound, whole."""
    decoded = _decode(tmp_path, encode(tone(4), container))
    assert decoded.duration_seconds == pytest.approx(4, abs=0.15)
    assert decoded.bad_packets == 0
    assert len(_samples(tmp_path)) == round(decoded.duration_seconds * RATE)
    assert np.abs(_samples(tmp_path)).max() > 5000


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_file_cut_short_is_truncated(tmp_path: Path, container: str) -> None:
    """A file whose second half is missing is refused, not half transcribed."""
    media = encode(tone(10), container)
    with pytest.raises(VideoFailure, match="MEDIA_TRUNCATED"):
        _decode(tmp_path, media[: len(media) // 2])


@pytest.mark.parametrize(
    ("media", "reason"),
    [
        (bytes(range(256)) * 200, "UNSUPPORTED_MEDIA"),
        (b"<!doctype html><title>no</title>", "UNSUPPORTED_MEDIA"),
        (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "UNSUPPORTED_MEDIA"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "UNSUPPORTED_MEDIA"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "MEDIA_TRUNCATED"),
    ],
    ids=["bytes", "html", "playlist", "concat", "no index"],
)
def test_what_is_no_media_is_refused(tmp_path: Path, media: bytes, reason: str) -> None:
    """Nothing that only looks like media is read, least of all what names other files."""
    with pytest.raises(VideoFailure, match=reason):
        _decode(tmp_path, media)


def test_a_picture_without_sound_has_no_audio(tmp_path: Path) -> None:
    """A video without an audio track has its own reason."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=5)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(VideoFailure, match="NO_AUDIO"):
        _decode(tmp_path, file.getvalue())


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_recorders_guess_is_no_length(tmp_path: Path, length: int) -> None:
    """A WAV file that was written to a pipe cannot know its length; it is not truncated."""
    media = bytearray(encode(tone(2), "wav"))
    media[4:8] = length.to_bytes(4, "little")
    assert _decode(tmp_path, bytes(media)).duration_seconds == 2


def test_the_main_track_is_heard(tmp_path: Path) -> None:
    """Of several tracks the one that the file calls its default counts, not the first."""
    decoded = _decode(tmp_path, _two_tracks(tone(2, loudness=0), tone(2)))
    assert decoded.missing_seconds == 0
    assert np.abs(_samples(tmp_path)).max() > 5000


def _two_tracks(dub: NDArray[np.int16], main: NDArray[np.int16]) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        streams = [output.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
        streams[0].disposition = Disposition.dub
        streams[1].disposition = Disposition.default | Disposition.original
        for stream, samples in zip(streams, (dub, main), strict=True):
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate = RATE
            output.mux(stream.encode(frame))
    return file.getvalue()


def test_long_audio_is_refused(tmp_path: Path) -> None:
    """The limit holds for what is decoded, whatever is declared."""
    with pytest.raises(VideoFailure, match="MEDIA_TOO_LONG"):
        _decode(tmp_path, encode(tone(5)), max_seconds=3)


def test_bad_packets_cost_only_themselves(tmp_path: Path) -> None:
    """Rubbish in the middle is counted, and what comes after it keeps its time."""
    media = bytearray(encode(np.concatenate([tone(4), tone(4, loudness=0), tone(4)])))
    middle = media.index(b"mdat") + len(media) // 6
    media[middle : middle + 3000] = b"\xff" * 3000
    decoded = _decode(tmp_path, bytes(media))
    assert decoded.bad_packets > 0
    assert decoded.duration_seconds == pytest.approx(12, abs=0.3)
    loud = np.flatnonzero(np.abs(_samples(tmp_path)) > 5000) / RATE
    assert loud[loud > 6].min() == pytest.approx(8, abs=0.2)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_cut_anywhere_is_noticed(tmp_path: Path, container: str) -> None:
    """Wherever a file ends too early, it is refused or what is missing is counted."""
    media = encode(tone(6), container)
    for kept in range(0, len(media), len(media) // 25):
        outcome = _outcome(tmp_path, media[:kept])
        if isinstance(outcome, Decoded):
            assert outcome.duration_seconds + outcome.missing_seconds > 5.9
        else:
            assert outcome in _UNREADABLE


@pytest.mark.parametrize("container", CONTAINERS)
def test_flipped_bits_are_survived(tmp_path: Path, container: str) -> None:
    """Damage anywhere ends in sound or in a reason of the media's own."""
    media = encode(tone(3), container)
    for seed in range(40):
        chance = random.Random(seed)
        damaged = bytearray(media)
        for _ in range(chance.choice([1, 5, 50, 500])):
            damaged[chance.randrange(len(media))] ^= 1 << chance.randrange(8)
        outcome = _outcome(tmp_path, bytes(damaged))
        assert isinstance(outcome, Decoded) or outcome in _UNREADABLE


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_hundredth_of_a_second_is_audio(tmp_path: Path, container: str) -> None:
    """The shortest sound is decoded like any other."""
    decoded = _decode(tmp_path, encode(tone(0.01), container))
    assert 0.01 <= decoded.duration_seconds < 0.2


def test_twelve_hours_of_silence_in_a_megabyte(tmp_path: Path) -> None:
    """What unpacks to more than a gigabyte takes disk up to the limit, and hardly any memory."""
    media = long_silence(12 * 3600)
    before = _peak_bytes()
    decoded = _decode(tmp_path, media, max_seconds=12 * 3600)
    with pytest.raises(VideoFailure, match="MEDIA_TOO_LONG"):
        _decode(tmp_path, media, max_seconds=60)
    assert len(media) < 1_000_000
    assert decoded.duration_seconds * RATE * 2 > 10**9
    assert _peak_bytes() - before < 100_000_000
    (tmp_path / "samples").unlink()


def test_decoding_stops_when_asked(tmp_path: Path) -> None:
    """The check between packets can end the work."""
    path = tmp_path / "media"
    path.write_bytes(encode(tone(5)))

    def check() -> None:
        raise InterruptedError

    with MediaFile(path) as file, pytest.raises(InterruptedError):
        file.decode(tmp_path / "samples", _WHOLE, 60, check)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_part_is_cut_to_the_sample(tmp_path: Path, container: str) -> None:
    """A clip holds what lies between its ends, wherever packets begin."""
    sound = np.concatenate([tone(4, loudness=0), tone(2), tone(4, loudness=0)])
    decoded = _decode(tmp_path, encode(sound, container), part=Part(3.5, 7.25))
    loud = np.flatnonzero(np.abs(_samples(tmp_path)) > 5000) / RATE
    assert decoded.duration_seconds == 3.75
    assert decoded.missing_seconds == 0
    assert loud.min() == pytest.approx(0.5, abs=0.1)
    assert loud.max() == pytest.approx(2.5, abs=0.1)


def test_a_part_may_be_open_at_either_end(tmp_path: Path) -> None:
    """Without a start or an end it reaches to that of the recording."""
    media = encode(tone(10), "wav")
    assert _decode(tmp_path, media, part=Part(end_seconds=3)).duration_seconds == 3
    assert _decode(tmp_path, media, part=Part(start_seconds=4)).duration_seconds == 6
    assert _decode(tmp_path, media, part=Part(8, 3600)).duration_seconds == 2


def test_the_limit_is_for_the_part(tmp_path: Path) -> None:
    """A short clip of a recording that would be too long is taken."""
    assert _decode(tmp_path, encode(tone(9)), 3, Part(5, 7)).duration_seconds == 2


def test_a_part_outside_the_recording(tmp_path: Path) -> None:
    """A clip that starts after the end has a reason of its own."""
    with pytest.raises(VideoFailure, match="CLIP_OUTSIDE_MEDIA"):
        _decode(tmp_path, encode(tone(3)), part=Part(4, 5))


def test_a_part_behind_the_cut_is_truncated(tmp_path: Path) -> None:
    """A file cut short still gives what lies before the cut, and no more."""
    media = encode(tone(10))
    cut = media[: len(media) // 2]
    assert _decode(tmp_path, cut, part=Part(1, 2)).duration_seconds == 1
    with pytest.raises(VideoFailure, match="MEDIA_TRUNCATED"):
        _decode(tmp_path, cut, part=Part(6, 9))
