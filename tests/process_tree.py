"""Processes as the kernel tells of them: who started whom, and what runs there."""

from collections import defaultdict
from pathlib import Path


def children(pid: int) -> set[int]:
    """Return the ids of the processes that ``pid`` has started."""
    return _by_parent()[pid]


def descendants(pid: int) -> set[int]:
    """Return the ids of all processes that ``pid`` started, and those started, and so on."""
    started = _by_parent()
    found: set[int] = set()
    waiting = {pid}
    while waiting:
        waiting = set().union(*(started[one] for one in waiting)) - found
        found |= waiting
    return found


def module_of(pid: int) -> str:
    """Return what runs there as ``python -m``; empty if nothing does."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return command.partition("\0-m\0")[2].partition("\0")[0]


def is_alive(pid: int) -> bool:
    """False once the process is gone, or dead and only waiting to be collected."""
    return _status(pid)[:1] not in ([], ["Z"])


def _by_parent() -> dict[int, set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        if status := _status(pid):
            found[int(status[1])].add(pid)
    return found


def _status(pid: int) -> list[str]:
    """Return what stat says behind the name, see proc(5): state, parent...; nothing if it ended."""
    try:
        # The name is in brackets and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
