"""Which videos are the same job: what was made of one is what would be made of the other. Pure.

An address is the same when it leads to the same media on every site we know: case, fragment and
marks of advertisers do not matter, and the addresses of one YouTube video are one.
"""

import hashlib
import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest

_DEFAULT_PORTS = {"http": 80, "https": 443}
_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|dclid|msclkid|mc_[ce]id|igshid")
_YOUTUBE = re.compile(r"(?:www\.|m\.|music\.)?youtube(?:-nocookie)?\.com")
_YOUTUBE_PATH = re.compile(r"/(?:shorts|live|embed|v)/([\w-]{11})/?")
_YOUTUBE_ID = re.compile(r"[\w-]{11}")


def digest(request: TranscribeRequest, model_sha256: str) -> str:
    """Return what two jobs share if the transcript of one can stand for that of the other."""
    alike = TranscribeRequest(
        url=canonical(request.url),
        language=request.language,
        model=request.model,
        options=request.options,
    )
    body = alike.SerializeToString(deterministic=True)
    return hashlib.sha256(body + model_sha256.encode()).hexdigest()


def canonical(url: str) -> str:
    """Return the one way of writing an address that we take as that of its media."""
    parts = urlsplit(url)
    if video_id := _youtube_id(parts):
        return f"https://www.youtube.com/watch?v={video_id}"
    fields = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in fields if not _TRACKING.fullmatch(name)]
    # Left as it was where nothing goes: some servers sign the very bytes of it.
    query = parts.query if kept == fields else urlencode(kept)
    return parts._replace(netloc=_place(parts), query=query, fragment="").geturl()


def _place(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    is_usual = parts.port in (None, _DEFAULT_PORTS.get(parts.scheme))
    return host if is_usual else f"{host}:{parts.port}"


def _youtube_id(parts: SplitResult) -> str | None:
    host = parts.hostname or ""
    if host == "youtu.be":
        found = parts.path.strip("/")
    elif not _YOUTUBE.fullmatch(host):
        return None
    elif path := _YOUTUBE_PATH.fullmatch(parts.path):
        found = path[1]
    else:
        found = dict(parse_qsl(parts.query)).get("v", "") if parts.path == "/watch" else ""
    return found if _YOUTUBE_ID.fullmatch(found) else None
