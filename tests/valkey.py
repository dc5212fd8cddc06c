"""A real Valkey for tests, as durable as the one we ship, that can be killed and started again."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import redis
from batchscribe.local import tether
from batchscribe.local.valkey import find_server

_START_SECONDS = 10.0
_DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")


class Valkey:
    """One server on a Unix socket, so that nobody can take its port; data survives a restart."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        # A socket's path may have 107 characters at most, too few for pytest's own folders.
        self._folder = Path(tempfile.mkdtemp(prefix="valkey-"))
        self._socket = self._folder / "socket"
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.path = str(self._socket)
        self.url = f"unix://{self.path}"

    def start(self) -> None:
        place = ("--dir", str(self._folder), "--unixsocket", str(self._socket), "--port", "0")
        log = ("--logfile", str(self._folder / "log"), "--save", "")
        # A run that is killed leaves no server behind.
        tied = (sys.executable, "-I", "-S", str(tether.__file__), str(os.getpid()))
        command = [*tied, find_server(), *place, *log, *_DURABLE]
        self._process = subprocess.Popen(command, env=self._environment)
        self._until_ready()

    def fill_disk(self) -> None:
        """Let none of its files grow any more; after a new ``start`` there is room again."""
        assert self._process, "start was not called"
        _, most = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (0, most))

    def kill(self) -> None:
        """End the server as a crash would; ``start`` brings it back with its data."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
            client.script_flush()

    def _until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process, "start was not called"
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, f"Valkey is not ready within {_START_SECONDS} s"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.ConnectionError:  # Not listening yet, or still loading its file.
            return False
