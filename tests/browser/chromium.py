"""Where a Chromium is: named by ``CHROMIUM``, on the PATH, or in playwright's own cache."""

import os
import shutil
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_CACHED = "chromium*-*/chrome-*/*"


def find_chromium() -> str | None:
    """Return the program's path, or None."""
    if named := os.environ.get("CHROMIUM"):
        return named
    return next(filter(None, map(shutil.which, _NAMES)), None) or _cached()


def _cached() -> str | None:
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright")
    programs = ("chrome", "headless_shell", "chrome-headless-shell")
    found = sorted(path for path in cache.glob(_CACHED) if path.name in programs)
    return str(found[-1]) if found else None
