"""Lists of videos, as yt-dlp describes them."""

from collections.abc import Mapping
from typing import Any

import pytest
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from yt_dlp.utils import smuggle_url

from transcriber.failures import VideoFailure
from transcriber.fetch.playlists import Info, described

PAGE = "https://example.com/channel"
NOTHING: Mapping[str, Info] = {}


def _list(*entries: dict[str, Any] | None, page: str = PAGE) -> dict[str, Any]:
    return {"_type": "playlist", "title": "A channel", "webpage_url": page, "entries": entries}


def _link(url: str) -> dict[str, Any]:
    return {"_type": "url", "url": url}


def _playlist(
    info: dict[str, Any], limit: int = 10, elsewhere: Mapping[str, Info] = NOTHING
) -> contract.Playlist:
    """Return what is in a list; ``elsewhere`` are the lists that its entries may lead to."""
    return described(info, PAGE, limit, lambda entry: elsewhere.get(entry["url"])).playlist


def _urls(info: dict[str, Any], elsewhere: Mapping[str, Info] = NOTHING) -> list[str]:
    return [entry.url for entry in _playlist(info, elsewhere=elsewhere).entries]


def test_the_tabs_of_a_channel_are_one_list() -> None:
    """Lists within a list give their videos in its place, in order, under one limit."""
    videos = _list(_link("https://example.com/1"), _link("https://example.com/2"))
    channel = _list(videos, _list(), _list(_link("https://example.com/3")))
    assert _urls(channel) == [f"https://example.com/{number}" for number in (1, 2, 3)]
    cut = _playlist(channel, 2)
    assert len(cut.entries) == 2
    assert cut.truncated


def test_lists_elsewhere_are_opened_once_deep() -> None:
    """A list that is an entry gives its videos in its place; a list in that one is an entry."""
    deep, deeper, deepest = (f"https://example.com/{name}" for name in ("a", "b", "c"))
    one, two, three = (f"https://example.com/{number}" for number in (1, 2, 3))
    lists = {
        deep: _list(_link(two), _link(deeper), page=deep),
        deeper: _list(_link(deepest), page=deeper),
    }
    assert _urls(_list(_link(one), _link(deep), _link(three)), lists) == [one, two, deeper, three]
    assert _playlist(_list(_link(one), _link(deep)), 2, lists).truncated
    with pytest.raises(VideoFailure, match="PLAYLIST_EMPTY"):
        _playlist(_list(_link(deep)), elsewhere={deep: _list()})


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        (_link("/talk"), "https://example.com/talk"),
        (_link("//cdn.example.com/talk"), "https://cdn.example.com/talk"),
        (_link(smuggle_url("https://example.com/1", {"a": "b"})), "https://example.com/1"),
        ({"url": "https://cdn/1.mp4", "webpage_url": "https://e.com/1"}, "https://e.com/1"),
        ({"url": "https://cdn/1.mp4", "webpage_url": PAGE}, "https://cdn/1.mp4"),
    ],
    ids=["relative", "no scheme", "with notes", "with a page", "on this page"],
)
def test_an_entry_has_an_address_of_its_own(entry: dict[str, Any], url: str) -> None:
    """It is one that can be given to Transcribe, and leads to this entry alone."""
    assert _urls(_list(entry)) == [url]


def test_what_has_no_address_is_left_out() -> None:
    """Entries that the site holds back, or whose addresses are of no use here, are no videos."""
    useless = (None, _link("file:///etc/passwd"), {"id": "x"}, _link(f"{PAGE}/{'x' * 2048}"))
    assert _urls(_list(*useless, _link(f"{PAGE}/1"))) == [f"{PAGE}/1"]


@pytest.mark.parametrize("seconds", [None, 0, -1, 1e300, float("inf"), float("nan")])
def test_a_length_that_cannot_be_is_unknown(seconds: float | None) -> None:
    """What a list says about the length of a video is taken if it is one."""
    entry = _link(f"{PAGE}/1") | {"duration": seconds}
    assert not _playlist(_list(entry)).entries[0].HasField("duration")


def test_a_title_is_cut_to_what_people_read() -> None:
    """Strangers write titles, and those end up in a database."""
    entry = _link(f"{PAGE}/1") | {"title": "x" * 10_000}
    assert len(_playlist(_list(entry)).entries[0].title) == 300


def test_a_list_of_nothing_is_a_failure() -> None:
    """An empty list would be a batch without videos."""
    with pytest.raises(VideoFailure, match="PLAYLIST_EMPTY"):
        _playlist(_list(_list()))
