"""Lists of videos as they are on a site: feeds, and lists within lists."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from batchscribe.transcriber.v1.child_pb2 import FetchSetup
from batchscribe.transcriber.v1.transcriber_service_pb2 import Playlist
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.utils import DownloadError

from tests.media import Answer, MediaServer, media_server
from transcriber.diagnosis import classify
from transcriber.fetch.source import Source

LAUGHS = '<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{number} "{f"&a{number - 1};" * 10}">' for number in range(1, 10)
)
PASSWD = '<!ENTITY a SYSTEM "file:///etc/passwd">'


class ShelfIE(InfoExtractor):  # type: ignore[misc]  # yt-dlp has no types.
    """A site of lists: each is a JSON array of what is in it, of which lists end with a slash."""

    _VALID_URL = r"(?P<site>http://127\.0\.0\.1:\d+/)(?P<id>.*)/$"
    _RETURN_TYPE = "playlist"

    def _real_extract(self, url: str) -> Any:
        site, name = self._match_valid_url(url).groups()
        names = self._download_json(url, name)
        return self.playlist_result(
            [self.url_result(site + one, "Shelf" if one.endswith("/") else None) for one in names]
        )


class ShelfSource(Source):
    def add_default_info_extractors(self) -> None:
        self.add_info_extractor(ShelfIE())
        super().add_default_info_extractors()


@pytest.fixture
def media() -> Iterator[MediaServer]:
    with media_server() as server:
        yield server


def listed(url: str, limit: int = 10) -> Playlist:
    setup = FetchSetup(max_bytes=1 << 30)
    with closing(ShelfSource(setup, lambda: None, list_limit=limit + 1)) as source:
        return source.resolve(url, limit).playlist


def names(playlist: Playlist) -> list[str]:
    return [re.sub("http://[^/]*/", "", entry.url) for entry in playlist.entries]


def shelve(media: MediaServer, path: str, *names: str) -> str:
    return media.serve(path, Answer(json.dumps(names).encode(), "application/json"))


def atom(*entries: str, defined: str = "") -> Answer:
    """Return a feed; ``defined`` are entities."""
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>{defined and f"<!DOCTYPE feed [{defined}]>"}'
        f'<feed xmlns="http://www.w3.org/2005/Atom"><title>Talks</title>{"".join(entries)}</feed>'
    )
    return Answer(text.encode(), "application/atom+xml")


def entry(title: str, *links: str) -> str:
    return f"<entry><title>{title}</title>{''.join(f'<link {link}/>' for link in links)}</entry>"


def test_an_atom_feed_gives_what_its_entries_lead_to(media: MediaServer) -> None:
    """Sound goes before pages and pages before nothing; titles and order are the feed's."""
    feed = atom(
        entry("A page", 'href="http://127.0.0.1/watch?v=1" rel="alternate"'),
        entry("Old", 'href="/2"'),
        entry("Sound", 'href="/3"', 'href="/3.jpg" rel="enclosure" type="image/jpeg"',
              'href="/3.mp3" rel="enclosure" type="audio/mpeg"'),
        entry("A picture", 'href="/4"', 'href="/4.jpg" rel="enclosure" type="image/jpeg"'),
        entry("Any file", 'href="/5.mp3" rel="enclosure"'),
        entry("Nothing", 'href="/edit" rel="edit"'),
        entry("A trap", 'href="file:///etc/passwd"'),
    )  # fmt: skip
    found = listed(media.serve("feed", feed))
    assert found.title == "Talks"
    assert names(found) == ["watch?v=1", "2", "3.mp3", "4", "5.mp3"]
    assert [one.title for one in found.entries][:3] == ["A page", "Old", "Sound"]


def test_a_long_atom_feed_is_cut_aloud(media: MediaServer) -> None:
    """Of many entries the first ones come, and the answer says that there are more."""
    url = media.serve("feed", atom(*(entry("", f'href="/{number}"') for number in range(50))))
    assert names(listed(url, 3)) == ["0", "1", "2"]
    assert listed(url, 3).truncated
    assert not listed(url, 50).truncated


@pytest.mark.parametrize(
    ("feed", "reason"),
    [
        (atom(), "PLAYLIST_EMPTY"),
        (atom("<entry>"), "UNSUPPORTED_MEDIA"),
        (atom(entry("&a0;", 'href="/1"'), defined=LAUGHS), "UNSUPPORTED_MEDIA"),
        (atom(entry("&a9;", 'href="/1"'), defined=LAUGHS), "UNSUPPORTED_MEDIA"),
        (atom(entry("&a;", 'href="/1"'), defined=PASSWD), "UNSUPPORTED_MEDIA"),
    ],
    ids=["empty", "broken", "an entity", "a billion laughs", "a file"],
)
def test_a_feed_that_is_none_says_so(media: MediaServer, feed: Answer, reason: str) -> None:
    """Nothing is listed of feeds that define entities, lead into files or break off."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - one of ours or one of yt-dlp's.
        listed(media.serve("feed", feed))
    assert classify(caught.value).reason == reason


def test_lists_within_a_list_stand_for_their_videos(media: MediaServer) -> None:
    """They are opened in their places, and no more of them than the limit needs."""
    url = shelve(media, "all/", "1", "some/", "4", "rest/")
    shelve(media, "some/", "2", "3")
    shelve(media, "rest/", "5")
    assert names(listed(url)) == ["1", "2", "3", "4", "5"]
    media.asked.clear()
    cut = listed(url, 3)
    assert (names(cut), cut.truncated) == (["1", "2", "3"], True)
    assert media.asked == ["/all/", "/some/"]


def test_lists_that_lead_to_each_other_end(media: MediaServer) -> None:
    """A list is opened once, and none below the second level: there it is an entry."""
    url = shelve(media, "all/", "all/", "1", "other/", "other/")
    shelve(media, "other/", "2", "all/", "deep/")
    assert names(listed(url)) == ["1", "2", "all/", "deep/"]
    assert media.asked == ["/all/", "/other/"]


def test_a_list_that_is_held_back_is_an_entry(media: MediaServer) -> None:
    """It will fail by itself, for its own reason, and does not take the others with it."""
    url = shelve(media, "all/", "1", "gone/", "2")
    assert names(listed(url)) == ["1", "gone/", "2"]


def test_a_list_that_fails_for_now_fails_the_whole(media: MediaServer) -> None:
    """What may be there at the next attempt is not left out."""
    url = shelve(media, "all/", "1", "busy/")
    media.serve("busy/", Answer(b"", status=503))
    with pytest.raises(DownloadError) as caught:
        listed(url)
    assert classify(caught.value).retryable
