"""Which server a caller gets."""

import fcntl
from pathlib import Path

import pytest
from batchscribe.client import discovery
from batchscribe.client.discovery import Server

LOCAL = Server("127.0.0.1:50051", "local_key")


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own, and no server in the environment."""
    monkeypatch.setenv(discovery.DATA_DIR_VARIABLE, str(tmp_path))
    monkeypatch.delenv(discovery.SERVER_VARIABLE, raising=False)
    monkeypatch.delenv(discovery.API_KEY_VARIABLE, raising=False)
    return tmp_path


def test_nothing_is_found_where_nothing_runs() -> None:
    """Without a name and without ``up`` there is no server."""
    assert discovery.find() is None


def test_a_running_up_is_found_by_itself(data_dir: Path) -> None:
    """While the lock is held, the address and key come from ``client.json``."""
    discovery.write(data_dir, LOCAL)
    with (data_dir / discovery.LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert discovery.find() == LOCAL


def test_a_file_left_by_a_crash_is_not_believed(data_dir: Path) -> None:
    """Without a held lock, whoever listens on that port now is not given the key."""
    discovery.write(data_dir, LOCAL)
    (data_dir / discovery.LOCK_NAME).touch()
    assert discovery.find() is None


def test_the_local_key_goes_to_the_local_server_only(data_dir: Path) -> None:
    """Another server named by the caller does not get the key of ``up``."""
    discovery.write(data_dir, LOCAL)
    with (data_dir / discovery.LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert discovery.find("example.com:50051") == Server("example.com:50051")
        assert discovery.find("127.0.0.1:50051") == LOCAL


def test_the_caller_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins over BATCHSCRIBE_SERVER, for the address and for the key."""
    monkeypatch.setenv(discovery.SERVER_VARIABLE, "a:1")
    monkeypatch.setenv(discovery.API_KEY_VARIABLE, "key_a")
    assert discovery.find() == Server("a:1", "key_a")
    assert discovery.find("b:2", "key_b") == Server("b:2", "key_b")


def test_only_the_user_may_read_the_key(data_dir: Path) -> None:
    """``client.json`` is readable by nobody else."""
    discovery.write(data_dir, LOCAL)
    assert (data_dir / discovery.CLIENT_FILE_NAME).stat().st_mode & 0o777 == 0o600
