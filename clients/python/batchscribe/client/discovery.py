"""Where the server is: what the caller says, the environment, or a running ``batchscribe up``.

``batchscribe up`` holds a lock on its data directory for as long as it lives and writes
``client.json`` there; a file without a held lock is left over from a crash and is not believed.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from batchscribe.client.client import DEFAULT_SERVER

SERVER_VARIABLE = "BATCHSCRIBE_SERVER"
API_KEY_VARIABLE = "BATCHSCRIBE_API_KEY"
LOCK_NAME = "lock"
CLIENT_FILE_NAME = "client.json"


@dataclass(frozen=True)
class Server:
    """A server's address and the key to use there."""

    address: str
    api_key: str = ""
    http: str = ""
    redis_url: str = ""


def default_data_dir() -> Path:
    """Return the directory of ``batchscribe up``, by the XDG rules."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "batchscribe"


def find(address: str | None = None, api_key: str | None = None) -> Server:
    """Return the server to talk to, ``DEFAULT_SERVER`` if nothing names another."""
    local = running()
    address = address or os.environ.get(SERVER_VARIABLE)
    api_key = api_key or os.environ.get(API_KEY_VARIABLE)
    if local and address in (None, local.address):
        return Server(local.address, api_key or local.api_key, local.http, local.redis_url)
    return Server(address or DEFAULT_SERVER, api_key or "")


def is_named(address: str | None = None) -> bool:
    """True if the caller, the environment or a running ``batchscribe up`` names a server."""
    return bool(address or os.environ.get(SERVER_VARIABLE) or running())


def running(data_dir: Path | None = None) -> Server | None:
    """Return the server that ``batchscribe up`` runs on ``data_dir``, or None."""
    data_dir = data_dir or default_data_dir()
    try:
        text = (data_dir / CLIENT_FILE_NAME).read_text()
    except OSError:
        return None
    return Server(**json.loads(text)) if _is_locked(data_dir / LOCK_NAME) else None


def write(data_dir: Path, server: Server) -> None:
    """Tell the clients of this user where the server is; the file is theirs alone to read."""
    path = data_dir / CLIENT_FILE_NAME
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(server), file)


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
