"""Media made on the spot, and a server that hands it out well or badly."""

import io
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 16_000
CONTAINERS = {"mp4": "aac", "mp3": "mp3", "webm": "libopus", "wav": "pcm_s16le"}
_CODECS = {**CONTAINERS, "mpegts": "aac"}


def tone(seconds: float, loudness: float = 0.3) -> NDArray[np.int16]:
    """Return a hum: int16[n], mono, 16 kHz. Loudness 0 is silence."""
    times = np.arange(int(seconds * RATE)) / RATE
    return (np.sin(times * 2 * np.pi * 220) * loudness * 32767).astype(np.int16)


def encode(samples: NDArray[np.int16], container: str = "mp4") -> bytes:
    """Return a media file of ``samples``: int16[n], mono, 16 kHz."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "media")
        _encode(samples, container, path)
        return path.read_bytes()


def _encode(samples: NDArray[np.int16], container: str, path: Path) -> None:
    options = {"movflags": "faststart"} if container == "mp4" else {}
    with av.open(str(path), "w", format=container, options=options) as output:
        rate = 48_000 if container == "webm" else RATE
        stream = output.add_stream(_CODECS[container], rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.time_base = Fraction(1, RATE)
        frame.pts = 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def decode(path: Path) -> NDArray[np.int16]:
    """Return the sound of a media file: int16[n], mono, 16 kHz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def long_silence(seconds: float) -> bytes:
    """Return a small media file of that much silence: one packet of 4 s, time and again."""
    rate, samples = 8_000, 32_768
    packet = _silent_packet(rate, samples)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("flac", rate=rate, layout="mono", options=_block_of(samples))
        for number in range(int(seconds * rate / samples)):
            copy = av.Packet(packet)
            copy.stream = stream
            copy.time_base = Fraction(1, rate)
            copy.pts = copy.dts = number * samples
            copy.duration = samples
            output.mux(copy)
    return file.getvalue()


def _silent_packet(rate: int, samples: int) -> bytes:
    encoder = av.AudioCodecContext.create("flac", "w")
    encoder.options = _block_of(samples)
    encoder.sample_rate = rate
    encoder.format = "s16"
    encoder.layout = "mono"
    encoder.time_base = Fraction(1, rate)
    silence = np.zeros((1, samples), np.int16)
    frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
    frame.sample_rate = rate
    frame.pts = 0
    return bytes(encoder.encode(frame)[0])


def _block_of(samples: int) -> dict[str, str]:
    return {"frame_size": str(samples)}


@dataclass(frozen=True)
class Answer:
    """What the server says at one path.

    It begins ``late_seconds`` after it was asked. ``drip`` sends a byte now and then, ``flood`` as
    many as it can; both for ever.
    """

    body: bytes = b""
    content_type: str = "video/mp4"
    status: int = 200
    late_seconds: float = 0.0
    drip: bool = False
    flood: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


def feed(title: str, addresses: Sequence[str]) -> Answer:
    """Return a podcast's feed whose episodes have the sound at ``addresses``."""
    items = "".join(
        f"<item><title>Episode {number}</title><guid>{number}</guid>"
        f'<enclosure url="{address}" type="audio/mpeg"/>'
        f"<itunes:duration>1:00:{number % 60:02}</itunes:duration></item>"
        for number, address in enumerate(addresses, start=1)
    )
    namespace = "http://www.itunes.com/dtds/podcast-1.0.dtd"
    body = (
        f'<?xml version="1.0"?><rss version="2.0" xmlns:itunes="{namespace}">'
        f"<channel><title>{title}</title>{items}</channel></rss>"
    )
    return Answer(body.encode(), "application/rss+xml")


class MediaServer:
    """Answers by path; a path that was not set is 404."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.closing = threading.Event()

    def serve(self, path: str, answer: Answer) -> str:
        """Set what is at ``path`` and return its address."""
        self.answers[f"/{path}"] = answer
        return f"{self.url}/{path}"


@contextmanager
def media_server() -> Iterator[MediaServer]:
    """Serve on a free port of the loopback interface."""
    with _Server(("127.0.0.1", 0), _Answering) as server:
        server.media = MediaServer(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.media
        finally:
            server.media.closing.set()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    media: MediaServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""


class _Answering(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        media = self.server.media
        media.asked.append(self.path)
        answer = media.answers.get(self.path, Answer(b"nothing", "text/plain", 404))
        media.closing.wait(answer.late_seconds)
        headers = {"Content-Type": answer.content_type}
        if not answer.flood:
            headers["Content-Length"] = str(10_000_000 if answer.drip else len(answer.body))
        self.send_response(answer.status)
        for name, value in (headers | dict(answer.headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        while answer.drip and not media.closing.wait(0.1):
            self.wfile.write(b"\0")
        while answer.flood and not media.closing.is_set():
            self.wfile.write(bytes(65536))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
