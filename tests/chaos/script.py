"""What the scripted work of one video is, told by its address so that every process agrees."""

from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlencode, urlsplit

from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    PlaylistEntry,
    ResolveSourceResponse,
    TranscribeResponse,
)

from tests.scripted_transcriber import failed, playlist, succeeded

# Why a playlist fails that was asked for like a video.
UNRESOLVED = "PLAYLIST_NOT_ALLOWED"


@dataclass(frozen=True)
class Script:
    """Work that takes ``seconds``; ``fails`` is "" for never, "once" or "always".

    With several ``videos`` it is a playlist, which takes as long to resolve, and of which one video
    fails if any does.
    """

    seconds: float
    fails: str = ""
    videos: int = 1

    def url(self, name: str) -> str:
        fields = {"seconds": f"{self.seconds:.3f}", "fails": self.fails, "videos": self.videos}
        return f"http://chaos.test/{name}?{urlencode(fields)}"

    @classmethod
    def parse(cls, url: str) -> "Script":
        query = parse_qs(urlsplit(url).query)
        fails = query.get("fails", [""])[0]
        return cls(float(query["seconds"][0]), fails, int(query["videos"][0]))

    def found(self) -> ResolveSourceResponse:
        """Return what is at the address."""
        whole, failing = Script(self.seconds), replace(self, videos=1)
        if self.videos == 1:
            return ResolveSourceResponse(video=PlaylistEntry(url=self.url("same")))
        others = (whole.url(str(place)) for place in range(1, self.videos))
        return playlist(failing.url("0"), *others)

    def outcome(self, epoch: int) -> TranscribeResponse:
        """Return what the work done under the lease ``epoch`` comes to."""
        if self.videos > 1:
            return failed(UNRESOLVED)
        if self.fails == "always":
            return failed()
        if self.fails == "once" and epoch == 1:
            return failed("SOURCE_FETCH_FAILED", retryable=True)
        return succeeded(self.seconds)
