"""Fixtures for every test: a real Valkey, and the samples over HTTP."""

import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.valkey import Valkey

pytest_plugins = ["tests.left_out"]

# A shell lets what it runs in the background ignore Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

SAMPLES = Path(__file__).parent.parent / "samples"


@dataclass(frozen=True)
class Sample:
    """A committed clip; ``text`` is what is said in it."""

    path: Path
    title: str
    text: str
    audio: bool


@pytest.fixture(scope="session")
def samples() -> dict[str, Sample]:
    """The clips by file name."""
    clips = json.loads((SAMPLES / "texts.json").read_text())
    return {
        name: Sample(SAMPLES / name, clip["title"], clip["text"], clip["audio"])
        for name, clip in clips.items()
    }


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """A server for the whole run; a test that kills it starts it again."""
    server = Valkey()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """Address of an empty Redis."""
    valkey.flush()
    return valkey.url


@pytest.fixture(scope="session")
def samples_url() -> Iterator[str]:
    """Address under which the samples can be fetched: ``f"{samples_url}/train.mp3"``."""
    answer = partial(_QuietFiles, directory=str(SAMPLES))
    with ThreadingHTTPServer(("127.0.0.1", 0), answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
