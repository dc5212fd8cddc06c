"""The public web of the tests: pages, redirects and manifests that lead where they are told to."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from Cryptodome.Cipher import AES

from tests.abuse.names import PUBLIC

SAMPLES = Path(__file__).parents[2] / "samples"
LEADING = "?to="

_KEY = bytes(range(16))
_HTML = "text/html; charset=utf-8"
_HLS = "application/vnd.apple.mpegurl"
_DASH = "application/dash+xml"

# Each leads a client to ``{to}``, which is where it is told to go.
PAGES: Mapping[str, str] = {
    "video": '<video src="{to}"></video>',
    "source": '<video><source src="{to}" type="video/mp4"></video>',
    "audio": '<audio controls src="{to}"></audio>',
    "og-video": '<meta property="og:video" content="{to}">',
    "twitter-stream": '<meta property="twitter:player:stream" content="{to}">',
    "refresh": '<meta http-equiv="refresh" content="0; url={to}">',
    "json-ld": (
        '<script type="application/ld+json">{{"@context": "https://schema.org", "@type": '
        '"VideoObject", "name": "a", "contentUrl": "{to}"}}</script>'
    ),
    "jwplayer": '<script>jwplayer("a").setup({{"file": "{to}", "type": "mp4"}});</script>',
}
MANIFESTS: Mapping[str, tuple[str, str]] = {
    "hls-segment": (_HLS, "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{to}\n#EXT-X-ENDLIST\n"),
    "hls-second-segment": (
        _HLS,
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/ok.mp3\n#EXTINF:9,\n{to}\n#EXT-X-ENDLIST\n",
    ),
    "hls-variant": (_HLS, '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2"\n{to}\n'),
    "hls-audio": (
        _HLS,
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{to}"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=64000,AUDIO="a"\n{to}\n',
    ),
    "hls-key": (
        _HLS,
        '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=AES-128,URI="{to}"\n#EXTINF:9,\n'
        "/ok.mp3\n#EXT-X-ENDLIST\n",
    ),
    "hls-map": (
        _HLS,
        '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MAP:URI="{to}"\n#EXTINF:9,\n/ok.mp3\n'
        "#EXT-X-ENDLIST\n",
    ),
    "dash-base": (_DASH, "<BaseURL>{to}</BaseURL>"),
    "dash-template": (
        _DASH,
        '<SegmentTemplate media="{to}" initialization="/ok.mp3" duration="5" startNumber="1"/>',
    ),
    "dash-initialization": (
        _DASH,
        '<SegmentTemplate media="/ok.mp3" initialization="{to}" duration="5" startNumber="1"/>',
    ),
    "dash-list": (
        _DASH,
        '<SegmentList duration="9"><SegmentURL media="{to}"/></SegmentList>',
    ),
}
_MPD = (
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT9S">'
    '<Period><AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="64000" '
    'codecs="mp4a.40.2">{inner}</Representation></AdaptationSet></Period></MPD>'
)


# What these send does not come to an end, at once or ever.
HOSTILE = ("page-bomb", "endless.mp4", "endless.html", "slow.mp4", "slow.html")


def publish(files: Mapping[str, bytes]) -> None:
    """Put ``files`` under ``/files/``."""
    _PUBLISHED.update(files)


def leading(kind: str, to: str, **more: str) -> str:
    """Return the public address of what of ``kind`` leads ``to`` an address."""
    given = "&".join(
        f"{name}={quote(value, safe='')}" for name, value in {"to": to, **more}.items()
    )
    return f"http://{PUBLIC}/{kind}?{given}"


async def answer(path: str) -> AsyncIterator[bytes]:
    """Give the response of the public web to a GET of ``path``, piece by piece."""
    yield _begin(path)
    if path.startswith("/endless"):
        while True:
            yield bytes(1 << 18)
    while path.startswith("/slow"):
        await asyncio.sleep(0.2)
        yield b"\0"


def _begin(path: str) -> bytes:
    parts = urlsplit(path)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    kind = parts.path.strip("/")
    to = asked.get("to", "")
    if kind in PAGES:
        return response(f"<html><title>a</title>{PAGES[kind].format(to=to)}</html>".encode(), _HTML)
    if kind in MANIFESTS:
        content_type, text = MANIFESTS[kind]
        text = text.format(to=to)
        text = _MPD.format(inner=text) if content_type == _DASH else text
        return response(text.encode(), content_type)
    if kind == "redirect":
        return _redirect(to, asked)
    if kind.startswith("files/"):
        return response(_PUBLISHED[kind.removeprefix("files/")])
    return _FIXED.get(kind, lambda: response(b"", status="404 Not Found"))()


def _redirect(to: str, asked: Mapping[str, str]) -> bytes:
    """Lead ``to`` an address, over as many public ones as are asked for."""
    hops = int(asked.get("hops", "0"))
    status = asked.get("status", "302")
    target = leading("redirect", to, status=status, hops=str(hops - 1)) if hops else to
    return response(b"", status=f"{status} Elsewhere", headers={"Location": target})


def response(
    body: bytes,
    content_type: str = "application/octet-stream",
    status: str = "200 OK",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Return a whole HTTP response."""
    lines = {
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def _sample() -> bytes:
    return (SAMPLES / "train.mp3").read_bytes()


def _encrypted() -> bytes:
    data = _sample()
    padding = 16 - len(data) % 16
    cipher = AES.new(_KEY, AES.MODE_CBC, iv=bytes(16))
    return bytes(cipher.encrypt(data + bytes([padding]) * padding))


def _hls(key: str = "") -> bytes:
    segment = "/sealed.mp3" if key else "/ok.mp3"
    return response(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n{key}#EXTINF:9,\n{segment}\n#EXT-X-ENDLIST\n".encode(),
        _HLS,
    )


def _page_bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    begin = packer.compress(b"<html><title>a</title>")
    body = begin + b"".join(packer.compress(bytes(1 << 20)) for _ in range(512)) + packer.flush()
    return response(body, _HTML, headers={"Content-Encoding": "gzip"})


_OPEN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n"
_PUBLISHED: dict[str, bytes] = {}
_IV = '#EXT-X-KEY:METHOD=AES-128,URI="/key",IV=0x' + "0" * 32 + "\n"
_FIXED: Mapping[str, Callable[[], bytes]] = {
    "ok.mp3": lambda: response(_sample(), "audio/mpeg"),
    "zipped.mp3": lambda: response(
        gzip.compress(_sample()), "audio/mpeg", headers={"Content-Encoding": "gzip"}
    ),
    "sealed.mp3": lambda: response(_encrypted(), "audio/mpeg"),
    "key": lambda: response(_KEY),
    "ok.m3u8": _hls,
    "sealed.m3u8": lambda: _hls(_IV),
    "page-bomb": _page_bomb,
    "endless.mp4": lambda: _OPEN_HEAD % b"video/mp4",
    "endless.html": lambda: _OPEN_HEAD % b"text/html" + b"<html>",
    "slow.mp4": lambda: _OPEN_HEAD % b"video/mp4",
    "slow.html": lambda: _OPEN_HEAD % b"text/html" + b"<html>",
    "told": lambda: response(json.dumps({"ok": True}).encode(), "application/json"),
}
