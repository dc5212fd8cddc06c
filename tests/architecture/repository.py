"""The files of this repository, as git sees them, new ones included."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def files(*patterns: str) -> list[str]:
    """Return the paths that match the git ``patterns``, relative to the root; all without any."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    found = subprocess.run([*listing, *patterns], cwd=ROOT, check=True, capture_output=True)
    names = found.stdout.decode().split("\0")
    return sorted({name for name in names if name and (ROOT / name).exists()})
