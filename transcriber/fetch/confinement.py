"""What the fetch child may do: little, since it reads what strangers wrote.

Address space has no limit, as a JavaScript engine reserves far more than it uses, and processor
time has none, as the process lives for many videos: the parent watches memory and clocks instead.
"""

import ctypes
import os
import resource
import sys

from batchscribe.transcriber.v1 import child_pb2

from transcriber import jobs

_PR_SET_NO_NEW_PRIVS = 38  # From linux/prctl.h.
_OPEN_FILES = 4096
_SAMPLE_BYTES_PER_SECOND = 32_000
_SPARE_BYTES = 64 * 1024 * 1024


def begin(setup: child_pb2.FetchSetup) -> None:
    """Give up for good what this process does not need. Raises OSError if it cannot."""
    samples_bytes = setup.max_audio.seconds * _SAMPLE_BYTES_PER_SECOND
    _limit(resource.RLIMIT_FSIZE, max(setup.max_bytes, samples_bytes) + _SPARE_BYTES)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    if setup.user_id:
        _become(setup.user_id, setup.group_id)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (limit, limit))


def _become(user_id: int, group_id: int) -> None:
    os.setgroups([])
    os.setresgid(group_id, group_id, group_id)
    os.setresuid(user_id, user_id, user_id)
    # The kernel forgets this when a process changes its user.
    jobs.die_with_parent()
