"""What the scripted work of one video is, told by its address so that every process agrees."""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeResponse

from tests.scripted_transcriber import failed, succeeded


@dataclass(frozen=True)
class Script:
    """Work that takes ``seconds``; ``fails`` is "" for never, "once" or "always"."""

    seconds: float
    fails: str = ""

    def url(self, name: str) -> str:
        query = urlencode({"seconds": f"{self.seconds:.3f}", "fails": self.fails})
        return f"http://chaos.test/{name}?{query}"

    @classmethod
    def parse(cls, url: str) -> "Script":
        query = parse_qs(urlsplit(url).query)
        return cls(float(query["seconds"][0]), query.get("fails", [""])[0])

    def outcome(self, epoch: int) -> TranscribeResponse:
        """Return what the work done under the lease ``epoch`` comes to."""
        if self.fails == "always":
            return failed()
        if self.fails == "once" and epoch == 1:
            return failed("SOURCE_FETCH_FAILED", retryable=True)
        return succeeded(self.seconds)
