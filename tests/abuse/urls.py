"""Addresses that a user may hand in to reach what is not theirs, each with a mark in its path."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote

from tests.abuse import addresses, web
from tests.abuse.internet import PUBLIC_V4, PUBLIC_V6
from tests.abuse.names import CHANGING, PUBLIC, RECORDS

INSIDE = "http://127.0.0.1"
METADATA = "http://169.254.169.254/latest/meta-data/iam"

# These arrive: through redirects, at both families, in segments, sealed or compressed.
ALLOWED = (
    f"http://{PUBLIC}/ok.mp3",
    f"http://{PUBLIC_V4}/ok.mp3",
    f"http://[{PUBLIC_V6}]/ok.mp3",
    "http://v6.public.example/ok.mp3",
    f"http://{PUBLIC}:80/zipped.mp3",
    web.leading("redirect", "/ok.mp3", hops="3"),
    web.leading("video", "/ok.mp3"),
    f"http://{PUBLIC}/ok.m3u8",
    f"http://{PUBLIC}/sealed.m3u8",
    web.leading("dash-base", "/ok.mp3"),
)


@dataclass(frozen=True)
class Attack:
    """``reaches`` says whether it gets where it wants if nothing filters."""

    number: int
    kind: str
    url: str
    reaches: bool


def attacks() -> list[Attack]:
    """Return every attack, with its number in what it wants to reach."""
    found = []
    for number, (kind, url) in enumerate(_all()):
        marked = url.replace("MARK", f"mark-{number}")
        found.append(Attack(number, kind, marked, kind not in _HARMLESS))
    return found


# Refused by yt-dlp or the kernel as well; that they reach nothing is no credit of the filter's.
_HARMLESS = ("scheme", "redirect to a scheme", "segment of a scheme", "smuggled", "spelling")


def _all() -> Iterator[tuple[str, str]]:
    yield from _direct()
    yield from _named()
    yield from _redirected()
    yield from _referred()
    yield from _schemes()


def _direct() -> Iterator[tuple[str, str]]:
    for address in (*addresses.INTERNAL_V4, *addresses.INTERNAL_V6):
        yield f"address of IPv{ip_address(address).version}", f"http://{_host(address)}/MARK"
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"):
        yield "TLS", f"https://{_host(address)}/MARK"
    for spelling in addresses.SPELLINGS:
        yield "spelling", f"http://{spelling}/MARK"
    for port in addresses.ODD_PORTS:
        yield "port inside", f"http://127.0.0.1:{port}/MARK"
        yield "port outside", f"http://{PUBLIC_V4}:{port}/MARK"


def _named() -> Iterator[tuple[str, str]]:
    for name in RECORDS:
        if PUBLIC not in name:
            yield "name", f"http://{name}/MARK"
            yield "name", f"http://{name.upper()}.:80/MARK"
    for kind in (*web.PAGES, *web.MANIFESTS, "redirect"):
        # Public when the page is read, inside when what it refers to is.
        host = f"{kind}.{CHANGING}"
        yield "rebinding", f"http://{host}/{kind}?to={quote(f'http://{host}/MARK.mp4', safe='')}"


def _redirected() -> Iterator[tuple[str, str]]:
    for status in ("301", "302", "303", "307", "308"):
        yield "redirect", web.leading("redirect", f"{INSIDE}/MARK", status=status)
        yield "redirect", web.leading("redirect", f"{METADATA}/MARK", status=status)
    for hops in ("1", "3", "7"):
        yield "chain", web.leading("redirect", f"{INSIDE}/MARK", hops=hops)
    for host in ("localhost", "[::1]", "2130706433", "0x7f.1", "loopback.example"):
        yield "redirect", web.leading("redirect", f"http://{host}/MARK")
    yield "redirect", web.leading("redirect", "//127.0.0.1/MARK")
    yield "redirect", web.leading("redirect", f"http://{PUBLIC}:6379/MARK")


def _referred() -> Iterator[tuple[str, str]]:
    for page in web.PAGES:
        yield "page", web.leading(page, f"{INSIDE}/MARK.mp4")
        yield "page", web.leading(page, f"{METADATA}/MARK.mp4")
    for manifest in web.MANIFESTS:
        yield "manifest", web.leading(manifest, f"{INSIDE}/MARK")
        yield "manifest", web.leading(manifest, f"{METADATA}/MARK")
        yield "manifest", web.leading(manifest, "http://loopback.example/MARK")
        inner = web.leading("redirect", f"{INSIDE}/MARK")
        yield "manifest over a redirect", web.leading(manifest, inner)


def _schemes() -> Iterator[tuple[str, str]]:
    inside = ("file:///etc/passwd#MARK", "ftp://127.0.0.1/MARK", "gopher://127.0.0.1:6379/_MARK")
    others = ("data:video/mp4,MARK", "rtmp://127.0.0.1/MARK", "rtsp://127.0.0.1/MARK")
    nested = ("concat:/etc/passwd|/etc/hosts", "subfile,,start,0,end,9,,:/etc/passwd")
    for url in (*inside, *others, "ws://127.0.0.1/MARK", "ytsearch5:MARK", "-o/tmp/MARK"):
        yield "scheme", url
    for url in (*inside, *others):
        yield "redirect to a scheme", web.leading("redirect", url)
        yield "segment of a scheme", web.leading("hls-segment", url)
        yield "segment of a scheme", web.leading("video", url)
    for url in nested:
        yield "segment of a scheme", web.leading("hls-segment", url)
    for given in (
        '{"force_videoid": "MARK"}',
        '{"http_headers": {"Ytdl-request-proxy": "INSIDE"}}',
    ):
        smuggled = quote(given.replace("INSIDE", INSIDE), safe="")
        yield "smuggled", f"http://{PUBLIC}/MARK#__youtubedl_smuggle={smuggled}"


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
