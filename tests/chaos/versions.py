"""An earlier version of the product, out of the repository's history, to run beside this one."""

import io
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What may be running as long as nothing is released: it knows no tiers, keys or playlists.
BEFORE_RELEASES = "4ed52f47c99149638853864e4bbfe6694caaf8ce"
# Where the homes of the packages are; an earlier version's are found before those installed.
_HOMES = ("", "protos/gen", "clients/python")


def previous() -> str | None:
    """Return the version that this one replaces; None in a clone that does not have it."""
    release = _git("describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^")
    return _git("rev-parse", "--verify", "--quiet", f"{release or BEFORE_RELEASES}^{{commit}}")


def check_out(version: str, folder: Path) -> Path:
    """Write the files of ``version`` to ``folder`` and return it."""
    command = ("git", "-C", str(ROOT), "archive", version)
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def python_path(source: Path) -> str:
    """Return the PYTHONPATH under which a process runs the version in ``source``."""
    return ":".join(str(source / home) for home in _HOMES)


def _git(*arguments: str) -> str | None:
    """Return what git says, None if it knows no answer."""
    done = subprocess.run(
        ("git", "-C", str(ROOT), *arguments), capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None if done.returncode == 0 else None
