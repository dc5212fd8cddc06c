"""Which process holds a TCP connection, as the kernel tells it."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.chaos.journal import Entry


def local_ports(pid: int) -> set[int]:
    """Return the local ports of every TCP connection of a process."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(FileNotFoundError):  # Closed meanwhile.
            inodes |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    tables = (Path(f"/proc/{pid}/net/tcp"), Path(f"/proc/{pid}/net/tcp6"))
    rows = (row.split() for table in tables for row in table.read_text().splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[9] in inodes}


def calls_of(pid: int, calls: Iterable[Entry]) -> list[Entry]:
    """Return the calls that were made by the process ``pid``."""
    ports = local_ports(pid)
    return [call for call in calls if int(call.peer.rpartition(":")[2]) in ports]
