"""What the fetch child gives up, as another process tells it."""

import json
import subprocess
import sys
from typing import Any

import pytest

_PROGRAM = """
import json, os, pathlib, resource
from batchscribe.transcriber.v1 import child_pb2
from transcriber.fetch import confinement

setup = child_pb2.FetchSetup(max_bytes=10**9, user_id={user_id}, group_id={user_id})
setup.max_audio.FromSeconds(60)
confinement.begin(setup)
status = pathlib.Path("/proc/self/status").read_text()
print(json.dumps({{
    "file_bytes": resource.getrlimit(resource.RLIMIT_FSIZE),
    "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "users": os.getresuid() + os.getresgid(),
    "groups": os.getgroups(),
    "status": dict(line.split(":\\t", 1) for line in status.splitlines()),
}}))
"""


def _confined(user_id: int = 0) -> dict[str, Any]:
    program = (sys.executable, "-c", _PROGRAM.format(user_id=user_id))
    told: dict[str, Any] = json.loads(subprocess.check_output(program))
    return told


def test_limits_cannot_be_raised_again() -> None:
    """Files, open files and core dumps are bounded, and no program gives more rights."""
    told = _confined()
    for name, most in (("file_bytes", 1_100_000_000), ("open_files", 4096), ("core", 0)):
        soft, hard = told[name]
        assert soft == hard <= most
    assert told["status"]["NoNewPrivs"] == "1"


@pytest.mark.needs_root
def test_another_user_is_one_for_good() -> None:
    """No group, no saved id and no capability of root is left."""
    told = _confined(user_id=65534)
    assert told["users"] == [65534] * 6
    assert told["groups"] == []
    assert int(told["status"]["CapPrm"], 16) == 0
