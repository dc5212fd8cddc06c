"""Pages of lists: how long they are, and the tokens that lead from one to the next. Pure.

A token names its list and a place there; one of another list is refused.
"""

import base64
import re
from collections.abc import Callable
from typing import Any

from gateway.errors import InvalidRequest

_NUMBER = re.compile(r"[0-9]{1,18}")


def size(asked: int, default: int, most: int) -> int:
    """Return how long a page is; 0 means ``default``. Raises InvalidRequest if it is negative."""
    if asked < 0:
        sentence = f"A page size is 0 (meaning {default}) or more."
        raise InvalidRequest.of("page_size", "PAGE_SIZE_NEGATIVE", sentence)
    return min(asked or default, most)


def token(listed: str, *place: int | str) -> str:
    """Return what leads to ``place`` in the list of that name; no part of either has a colon."""
    return base64.urlsafe_b64encode(":".join(map(str, (listed, *place))).encode()).decode()


def place(token: str, listed: str, *kinds: Callable[[str], int | str]) -> tuple[Any, ...] | None:
    """Return the place that a token leads to, its parts read by ``kinds``; None without a token.

    Raises InvalidRequest if it is no token of the list ``listed``.
    """
    if not token:
        return None
    try:
        owner, *parts = base64.urlsafe_b64decode(token).decode().split(":")
        if owner == listed:
            return tuple(read(part) for read, part in zip(kinds, parts, strict=True))
    except ValueError:
        pass  # Neither base64 nor UTF-8, or without such parts: no token of ours.
    sentence = "Use the next_page_token of this list's page before, or none to start again."
    raise InvalidRequest.of("page_token", "PAGE_TOKEN_INVALID", sentence)


def number(text: str) -> int:
    """Read a part of a place that counts from 0. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)
