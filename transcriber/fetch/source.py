"""Downloads one address with yt-dlp: the best audio-only format, as it is, into one file.

yt-dlp gets no configuration, plug-ins, netrc or cookies but what the operator set, and writes
nothing but the file that we name.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Any, ClassVar
from weakref import WeakSet

import yt_dlp
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.v1 import transcript_pb2
from yt_dlp.networking import Request, Response
from yt_dlp.networking._requests import RequestsRH
from yt_dlp.networking.exceptions import ProxyError
from yt_dlp.socks import Socks5Error

from transcriber import diagnosis
from transcriber.failures import VideoFailure
from transcriber.fetch import playlists
from transcriber.fetch.feeds import AtomFeedIE

_SOCKET_TIMEOUT_SECONDS = 15
_REFUSED = Socks5Error.CODES[2]  # Said by the filter of addresses.
# A page is read whole into memory before it is looked at.
_MAX_PAGE_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_NOT_OVER = {
    "is_live": "MEDIA_IS_LIVE",
    "is_upcoming": "MEDIA_IS_UPCOMING",
    "post_live": "MEDIA_IS_LIVE",
}


@dataclass(frozen=True)
class Listing:
    """What the site says about a video before anything is downloaded."""

    info: Mapping[str, Any]

    @property
    def title(self) -> str:
        return playlists.title_of(self.info)

    @property
    def is_bare_file(self) -> bool:
        """The address is the media file itself, so the title is only a file name."""
        return bool(self.info.get("direct"))

    @property
    def duration_seconds(self) -> float:
        """Declared length; 0 if unknown."""
        return float(self.info.get("duration") or 0)

    def source(self) -> transcript_pb2.SourceInfo:
        source = transcript_pb2.SourceInfo(
            title=self.title,
            source_id=self._word("id"),
            extractor=self._word("extractor"),
            uploader=self._word("uploader") or self._word("channel"),
        )
        published = self.info.get("timestamp")
        if published is not None and not self.is_bare_file:
            with contextlib.suppress(ValueError, OverflowError):  # Sites make mistakes.
                source.publish_time.FromSeconds(int(published))
        return source

    def _word(self, name: str) -> str:
        return str(self.info.get(name) or "")[: playlists.MAX_TITLE_LENGTH]


class SharedTrustRH(RequestsRH):  # type: ignore[misc]  # yt-dlp asks for the ending of the name.
    """Requests that share what they trust.

    To read the certificates for each use of yt-dlp was more than half of the time that it took.
    """

    _contexts: ClassVar[dict[bool | None, SSLContext]] = {}

    def _make_sslcontext(self, legacy_ssl_support: bool | None = None) -> SSLContext:
        if legacy_ssl_support not in self._contexts:
            context = super()._make_sslcontext(legacy_ssl_support)
            self._contexts[legacy_ssl_support] = context
        return self._contexts[legacy_ssl_support]


class Source(yt_dlp.YoutubeDL):  # type: ignore[misc]  # yt-dlp has no types.
    """One use of yt-dlp for one address."""

    def __init__(
        self, setup: child_pb2.FetchSetup, check: Callable[[], None], list_limit: int = 0
    ) -> None:
        """``check`` raises when the work should stop; of a list so many entries are read."""
        self._check = check
        self._max_bytes = setup.max_bytes
        self._responses: WeakSet[Response] = WeakSet()
        self._guarding = threading.Lock()  # Of the responses: fragments come in several threads.
        self._opened_lists: set[str] = set()
        super().__init__(_parameters(setup) | _listing(list_limit), auto_init=True)
        self.add_progress_hook(self._on_progress)

    def add_default_info_extractors(self) -> None:
        """Add what is on by default, without yt-dlp's search for each among all the others."""
        self.add_info_extractor(AtomFeedIE())
        for extractor in yt_dlp.extractor.gen_extractor_classes():
            if extractor._ENABLED:  # noqa: SLF001 - as yt-dlp asks in the method that this is for.
                self.add_info_extractor(extractor)

    def look_up(self, url: str) -> Listing:
        """Ask the site what is there. Raises VideoFailure or yt-dlp's errors."""
        info = self._info(url)
        if playlists.is_list(info):
            raise VideoFailure("PLAYLIST_NOT_ALLOWED")
        if (status := info.get("live_status")) in _NOT_OVER:
            raise VideoFailure(_NOT_OVER[status])
        check_size(info.get("filesize") or 0, self._max_bytes)
        return Listing(info)

    def resolve(self, url: str, limit: int) -> contract.ResolveSourceResponse:
        """Ask the site which videos are there. Raises VideoFailure or yt-dlp's errors."""
        self._opened_lists.add(url)
        return playlists.described(self._info(url), url, limit, self._open_list)

    def download(self, listing: Listing, path: Path) -> None:
        """Write the media to ``path``. Raises VideoFailure or yt-dlp's errors."""
        is_done, _ = self.dl(str(path), dict(listing.info))
        if not is_done:
            raise VideoFailure("SOURCE_FETCH_FAILED")
        if not path.is_file() or path.stat().st_size == 0:
            raise VideoFailure("MEDIA_EMPTY")

    def urlopen(self, request: Request | str) -> Response:
        self._check()
        try:
            response = super().urlopen(request)
        except ProxyError as error:
            if _REFUSED in str(error):
                raise VideoFailure("SOURCE_ADDRESS_NOT_ALLOWED") from error
            raise
        with self._guarding:
            self._responses.add(response)
        self._check()  # Nobody hung up on this one if we were to stop before it was there.
        response.read = partial(self._read, response.read)
        return response

    def build_request_director(self, handlers: object, preferences: object = None) -> Any:
        # The others take some requests, as for ftp: addresses, around the proxy.
        return super().build_request_director([SharedTrustRH], preferences)

    def save_cookies(self) -> None:
        """Leave the operator's file as it is; several threads read it."""

    def hang_up(self) -> None:
        """Break reads that are waiting for a slow site. Called from another thread."""
        with self._guarding:
            responses = list(self._responses)
        for response in responses:
            # A response that is read to its end has no connection to break.
            with contextlib.suppress(AttributeError, ValueError, RuntimeError, OSError):
                response.fp.shutdown()

    def _info(self, url: str) -> Mapping[str, Any]:
        try:
            info: Mapping[str, Any] = self.extract_info(url, download=False)
        except ValueError as error:
            # A page may refer to what cannot be an address, such as http://[::1.1]/.
            raise VideoFailure("SOURCE_UNAVAILABLE") from error
        return info

    def _open_list(self, entry: playlists.Info) -> playlists.Info | None:
        """Return the list that an entry leads to; None for videos, and what will fail as one."""
        if not self._leads_to_list(entry):
            return None
        url = entry["url"]
        if url in self._opened_lists:
            return {"entries": ()}
        self._opened_lists.add(url)
        try:
            info = self._info(url)
        except Exception as error:
            if diagnosis.classify(error).retryable:
                raise
            return None
        return info if playlists.is_list(info) else None

    def _leads_to_list(self, entry: playlists.Info) -> bool:
        """Say whether the extractor that an entry is meant for is one of lists."""
        extractor = entry.get("ie_key")
        if extractor is None:
            return False
        # This one also takes addresses of single videos, but is not named for those.
        if extractor == "YoutubeTab":
            return True
        return self.get_info_extractor(extractor).is_single_video(entry["url"]) is False

    def _read(self, read: Callable[[int], bytes], size: int | None = None) -> bytes:
        if size is not None:
            return read(size)
        page = bytearray()
        while chunk := read(_CHUNK_BYTES):
            self._check()
            page += chunk
            check_size(len(page), _MAX_PAGE_BYTES)
        return bytes(page)

    def _on_progress(self, progress: Mapping[str, Any]) -> None:
        self._check()
        check_size(progress.get("downloaded_bytes") or 0, self._max_bytes)


def check_size(size_bytes: int, limit_bytes: int) -> None:
    """Raise VideoFailure MEDIA_TOO_LARGE for media of more than ``limit_bytes``."""
    if size_bytes > limit_bytes:
        raise VideoFailure("MEDIA_TOO_LARGE", limit_bytes=limit_bytes)


def _parameters(setup: child_pb2.FetchSetup) -> dict[str, Any]:
    return {
        "format": "ba/b",
        # The original language first: otherwise a dubbed track may win. Speech needs no more
        # than 64 kbit/s, and where sound comes with pictures only, the smallest of them.
        "format_sort": ["lang", "hasaud", "acodec:opus", "abr~64", "+res", "+br"],
        # Entries of lists are named and not looked at.
        "extract_flat": "in_playlist",
        "logger": logging.getLogger("yt_dlp"),
        "noprogress": True,
        "cachedir": False,
        "cookiefile": setup.cookies_file or None,
        # The filter; empty, which keeps yt-dlp from asking the environment, only in tests.
        "proxy": setup.proxy,
        "usenetrc": False,
        "enable_file_urls": False,
        "socket_timeout": _SOCKET_TIMEOUT_SECONDS,
        "retries": 3,
        "extractor_retries": 1,
        "fragment_retries": 5,
        "skip_unavailable_fragments": False,
        "concurrent_fragment_downloads": 4,
        "hls_prefer_native": True,
        "ffmpeg_location": "/nonexistent",
        "fixup": "never",
        "nopart": True,
        "continuedl": False,
        "updatetime": False,
        "ignoreerrors": False,
    }


def _listing(limit: int) -> dict[str, Any]:
    """Return what makes yt-dlp read ``limit`` entries of a list; where none are wanted, a video."""
    # The first entry is enough to know a list by.
    return {"noplaylist": limit == 0, "playlistend": limit or 1}
