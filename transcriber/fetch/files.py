"""Media below the operator's media directory, named by ``file:`` addresses.

Whatever is wrong with such an address, the answer is the same: it tells nothing about what lies
outside the directory. Links are followed first, so none leads out of it.
"""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from transcriber.failures import VideoFailure


def is_file_url(url: str) -> bool:
    return url[:5].lower() == "file:"


def path_of(url: str, media_root: str) -> Path:
    """Return the real path of ``url``. Raises VideoFailure FILE_UNAVAILABLE."""
    try:
        path = Path(unquote(urlsplit(url).path)).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise VideoFailure("FILE_UNAVAILABLE") from None
    is_inside = media_root != "" and path.is_relative_to(Path(media_root).resolve())
    if not (is_inside and path.is_file() and os.access(path, os.R_OK)):
        raise VideoFailure("FILE_UNAVAILABLE")
    return path
