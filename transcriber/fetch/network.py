"""The fetch child's network: a single port, which the filter of the parent answers.

A socket belongs to the network that it was made in. So a listening socket from in here is, once the
parent has it, a door in a network without any other, whatever yt-dlp or what it loads may try.
"""

import ctypes
import fcntl
import logging
import os
import socket
import struct
from pathlib import Path

# From linux/sched.h, linux/sockios.h and linux/if.h.
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1

log = logging.getLogger(__name__)


def leave() -> None:
    """Move this process, which must have one thread, into a network of its own if that can be."""
    if not (_unshare(_CLONE_NEWNET) or _unshare_as_user()):
        log.warning(
            "this machine gives no network namespace to us: what yt-dlp fetches goes through the "
            "filter all the same, but a hole in yt-dlp could go around it"
        )


def door() -> socket.socket:
    """Return a listening socket of this process's network."""
    return socket.create_server(("127.0.0.1", 0))


def _unshare(flags: int) -> bool:
    if ctypes.CDLL(None).unshare(flags) != 0:
        return False
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    return True


def _unshare_as_user() -> bool:
    user, group = os.getuid(), os.getgid()
    if not _unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        return False
    # Otherwise this process would be nobody to itself.
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{user} {user} 1")
    (own / "gid_map").write_text(f"{group} {group} 1")
    return True
