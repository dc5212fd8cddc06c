"""Atom feeds (RFC 4287), such as those of YouTube's channels; of feeds yt-dlp knows RSS alone.

A feed is recognised by what a page is, after yt-dlp has found that it is nothing else it knows.
"""

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from yt_dlp.extractor.common import InfoExtractor

_NAMESPACE = "http://www.w3.org/2005/Atom"
_ATOM = f"{{{_NAMESPACE}}}"
_SOUND = ("audio/", "video/")


class AtomFeedIE(InfoExtractor):  # type: ignore[misc]  # yt-dlp has no types.
    """The list of what the entries of a feed lead to: their sound, else their pages."""

    _VALID_URL = False

    def _extract_from_webpage(self, url: str, webpage: str) -> Iterator[dict[str, Any]]:
        if (feed := _feed_in(webpage)) is None:
            return
        entries = [
            self.url_result(address, video_title=entry.findtext(f"{_ATOM}title"))
            for entry in feed.iterfind(f"{_ATOM}entry")
            if (address := _address_of(entry))
        ]
        title = feed.findtext(f"{_ATOM}title")
        yield self.playlist_result(entries, url, title)
        raise self.StopExtraction


def _feed_in(page: str) -> ElementTree.Element | None:
    # Feeds have no entities of their own; who defines some wants them to grow.
    if _NAMESPACE not in page or "<!ENTITY" in page:
        return None
    try:
        root = ElementTree.fromstring(page)
    except ElementTree.ParseError:
        return None
    return root if root.tag == f"{_ATOM}feed" else None


def _address_of(entry: ElementTree.Element) -> str | None:
    links = [link.attrib for link in entry.iterfind(f"{_ATOM}link")]
    enclosed = [link for link in links if link.get("rel") == "enclosure"]
    sounds = [link for link in enclosed if link.get("type", "audio/").startswith(_SOUND)]
    pages = [link for link in links if link.get("rel", "alternate") == "alternate"]
    return next((link.get("href") for link in sounds + pages), None)
