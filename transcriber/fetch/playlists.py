"""What a playlist, channel or feed consists of: the addresses of its videos, in the site's order.

None of the videos is looked at: each fails or succeeds later, by itself. Lists that are entries of
the list stand for their videos; those in them are entries like others, which will fail.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any
from urllib.parse import urljoin, urlsplit

from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from yt_dlp.utils import unsmuggle_url

from transcriber.failures import VideoFailure

Info = Mapping[str, Any]
OpenList = Callable[[Info], Info | None]

MAX_TITLE_LENGTH = 300
_MAX_URL_LENGTH = 2048  # As in a batch.
_LONGEST_SECONDS = 30 * 24 * 3600  # More is a slip of whoever wrote the list.


def is_list(info: Info) -> bool:
    """Say whether what yt-dlp found is several videos."""
    return info.get("_type", "video") in ("playlist", "multi_video")


def described(
    info: Info, url: str, limit: int, open_list: OpenList
) -> contract.ResolveSourceResponse:
    """Return what ``info`` says is at ``url``. Raises VideoFailure PLAYLIST_EMPTY.

    ``open_list`` returns the list that an entry with an address leads to, if it is one.
    """
    if not is_list(info):
        return contract.ResolveSourceResponse(video=_entry(info, url))
    return contract.ResolveSourceResponse(playlist=_playlist(info, limit, open_list))


def _playlist(info: Info, limit: int, open_list: OpenList) -> contract.Playlist:
    entries = list(islice(_entries(info, open_list), limit + 1))
    if not entries:
        raise VideoFailure("PLAYLIST_EMPTY")
    return contract.Playlist(
        title=title_of(info), entries=entries[:limit], truncated=len(entries) > limit
    )


def _entries(info: Info, open_list: OpenList) -> Iterator[contract.PlaylistEntry]:
    """Yield the videos of a list; those of lists within it, such as a channel's tabs, in place."""
    for entry in info["entries"]:
        if entry is None:
            continue
        if is_list(entry):
            yield from _entries(entry, open_list)
        elif address := _address(entry, info):
            if inner := open_list(entry):
                yield from _entries(inner, _leave_closed)
            else:
                yield _entry(entry, address)


def _leave_closed(_: Info) -> None:
    """Let what a list within a list has be an entry, whatever it is."""


def _address(entry: Info, around: Info) -> str | None:
    page = str(around.get("webpage_url") or "")
    # What a site describes whole is best found again by its own page, where it has one.
    own_page = entry.get("webpage_url") if entry.get("_type", "video") == "video" else None
    named = own_page if own_page not in (None, page) else entry.get("url")
    if not named:
        return None
    with suppress(ValueError):  # What a site gives as an address need not be one.
        # yt-dlp hides notes to itself in some addresses.
        address = urljoin(page, str(unsmuggle_url(named)[0]))
        if len(address) <= _MAX_URL_LENGTH and urlsplit(address).scheme in ("http", "https"):
            return address
    return None


def _entry(info: Info, url: str) -> contract.PlaylistEntry:
    entry = contract.PlaylistEntry(url=url, title=title_of(info))
    seconds = info.get("duration") or 0
    if 0 < seconds < _LONGEST_SECONDS:
        entry.duration.FromMilliseconds(int(seconds * 1000))
    return entry


def title_of(info: Info) -> str:
    """Return the title, cut to what a person may want to read."""
    return str(info.get("title") or "")[:MAX_TITLE_LENGTH]
