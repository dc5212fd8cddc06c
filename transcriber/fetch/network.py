"""The fetch child's network: a single port, which the filter of the parent answers.

A socket belongs to the network that it was made in. So a listening socket from in here is, once the
parent has it, a door in a network without any other, whatever yt-dlp or what it loads may try.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

# From linux/sched.h, linux/sockios.h and linux/if.h.
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1


def leave() -> bool:
    """Move this process, which must have one thread, into a network of its own; tell if it is."""
    if not can_leave():
        return False
    _leave()
    return True


def can_leave() -> bool:
    """Tell whether this machine gives a process a network of its own."""
    return _would_succeed(_leave)


def door() -> socket.socket:
    """Return a listening socket of this process's network."""
    return socket.create_server(("127.0.0.1", 0))


def _leave() -> None:
    """Raises OSError, perhaps with half of it done."""
    user, group = os.getuid(), os.getgid()
    try:
        _unshare(_CLONE_NEWNET)
    except OSError:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        # Otherwise this process would be nobody to itself.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "no namespace is given to us")


def _would_succeed(act: Callable[[], None]) -> bool:
    """Try ``act`` in a process of its own: some systems give namespaces without rights in them."""
    child = os.fork()
    if child == 0:
        failed = True
        try:
            act()
            failed = False
        finally:
            os._exit(failed)
    _, status = os.waitpid(child, 0)
    return status == 0
