"""Where the server is: what the caller says, the environment, or a running ``batchscribe up``.

``batchscribe up`` holds a lock on its data directory for as long as it lives and writes
``client.json`` there; a file without a held lock is left over from a crash and is not believed.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

SERVER_VARIABLE = "BATCHSCRIBE_SERVER"
API_KEY_VARIABLE = "BATCHSCRIBE_API_KEY"
CA_FILE_VARIABLE = "BATCHSCRIBE_CA_FILE"
DATA_DIR_VARIABLE = "BATCHSCRIBE_DATA_DIR"
LOCK_NAME = "lock"
CLIENT_FILE_NAME = "client.json"
NO_SERVER = (
    "There is no Batchscribe server here. Start one with `batchscribe up`, "
    f"or name one in {SERVER_VARIABLE}."
)


@dataclass(frozen=True)
class Server:
    """Where a server is and what opens it.

    ``ca_file`` is a PEM file of those who may vouch for it; ``http`` and ``redis_url`` are known of
    one that runs here.
    """

    address: str
    api_key: str = ""
    http: str = ""
    redis_url: str = ""
    ca_file: str = ""


def default_data_dir() -> Path:
    """Return the data directory of ``batchscribe up``: BATCHSCRIBE_DATA_DIR, or by XDG's rules."""
    if path := os.environ.get(DATA_DIR_VARIABLE):
        return Path(path)
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "batchscribe"


def find(address: str | None = None, api_key: str | None = None) -> Server | None:
    """Return the server to talk to, or None if nothing names one."""
    address = address or os.environ.get(SERVER_VARIABLE)
    api_key = api_key or os.environ.get(API_KEY_VARIABLE)
    local = running()
    if local and address in (None, local.address):
        return replace(local, api_key=api_key or local.api_key)
    ca_file = os.environ.get(CA_FILE_VARIABLE, "")
    return Server(address, api_key or "", ca_file=ca_file) if address else None


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
    write_private(data_dir / CLIENT_FILE_NAME, json.dumps(asdict(server)))


def forget(data_dir: Path) -> None:
    """Undo ``write``."""
    (data_dir / CLIENT_FILE_NAME).unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Make a file that only this user can read, and that nobody sees half written."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
