"""Files of this machine under an HTTP address on loopback: transcribers only fetch.

The address of a media root holds a secret, because other users of the machine can reach loopback
too, and is the same after a restart, so that the batches in Redis stay valid.
"""

import contextlib
import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from batchscribe.local.child import StackError


@dataclass(frozen=True)
class MediaAddress:
    """Where files are served: the port, 0 for any, and a path in front of theirs."""

    port: int = 0
    prefix: str = ""


@contextlib.contextmanager
def served(folder: Path, address: MediaAddress) -> Iterator[str]:
    """Serve what is below ``folder`` around a block; yields the URL to put before a path."""
    answer = partial(_Files, directory=str(folder), prefix=address.prefix)
    try:
        server = _Server(("127.0.0.1", address.port), answer)
    except OSError as error:
        raise StackError(
            f"Local files are served on port {address.port}, which something else uses. End that."
        ) from error
    with server:
        thread = threading.Thread(target=server.serve_forever, name="media")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{address.prefix}"
        finally:
            server.shutdown()
            thread.join()


def kept_address(path: Path, port: int) -> MediaAddress:
    """Return the address in the file ``path``; the first time one with ``port`` is put there."""
    if not path.exists():
        new = MediaAddress(port, f"/{secrets.token_urlsafe(16)}")
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(new)))
    return MediaAddress(**json.loads(path.read_text()))


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that looked at the beginning and hung up is no trouble to report."""


class _Files(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, prefix: str, **options: Any) -> None:
        self._prefix = prefix
        super().__init__(*args, **options)

    def send_head(self) -> Any:
        if not self.path.startswith(f"{self._prefix}/"):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix(self._prefix))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there.
        pass
