"""Files that are not what they say, or break what reads them."""

import io
import struct
import zipfile
from collections.abc import Iterator

import numpy as np

from tests import media

_PASSWD = "file:///etc/passwd"
_INSIDE = "http://127.0.0.1/mark-0"


def files() -> dict[str, bytes]:
    """Return hostile files by name; the name's ending is what they pretend to be."""
    return dict(_all())


def _all() -> Iterator[tuple[str, bytes]]:
    sound = media.tone(2.0)
    for container in media.CONTAINERS:
        whole = media.encode(sound, container)
        yield from _cut(whole, container)
        yield from _flipped(whole, container)
    yield from _lying_headers()
    yield from _references()
    yield from _others()


def _cut(whole: bytes, container: str) -> Iterator[tuple[str, bytes]]:
    for share in (1, 10, 50, 99):
        yield f"cut-{share}.{container}", whole[: max(1, len(whole) * share // 100)]
    yield f"tail.{container}", whole[len(whole) // 2 :]


def _flipped(whole: bytes, container: str) -> Iterator[tuple[str, bytes]]:
    for seed in range(3):
        draw = np.random.default_rng(seed)
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 40):
            damaged[place] ^= 1 << int(draw.integers(0, 8))
        yield f"flipped-{seed}.{container}", bytes(damaged)


def _lying_headers() -> Iterator[tuple[str, bytes]]:
    for name, channels, rate, bits in (
        ("no-channels", 0, 16_000, 16),
        ("many-channels", 65_535, 16_000, 16),
        ("no-rate", 1, 0, 16),
        ("high-rate", 1, 0xFFFFFFFF, 16),
        ("odd-bits", 1, 16_000, 7),
    ):
        form = struct.pack("<HHIIHH", 1, channels, rate, 32_000, 2, bits)
        yield f"{name}.wav", _wav(form, 0xFFFFFFF0)
    yield "huge-id3.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(1000)
    yield "huge-picture.flac", b"fLaC\x06\xff\xff\xff" + bytes(1000)
    yield "deep.mp4", _ftyp() + _nested_atoms(2000)
    yield "huge-atom.mp4", _ftyp() + struct.pack(">I4sQ", 1, b"moov", 1 << 62)
    yield "many-samples.mp4", _ftyp() + _atom(b"moov", _atom(b"trak", b"\xff" * 4000))


def _references() -> Iterator[tuple[str, bytes]]:
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{_PASSWD}\n#EXT-X-ENDLIST\n".encode()
    for name in ("list.mp4", "list.mp3", "list.avi", "list.ts"):
        yield name, hls
    yield "concat.mp4", f"ffconcat version 1.0\nfile '{_PASSWD}'\nfile '{_INSIDE}'\n".encode()
    yield "concat.txt", b"ffconcat version 1.0\nfile /etc/passwd\n"
    yield (
        "session.sdp",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 80 RTP/AVP 0\n",
    )
    yield "list.pls", f"[playlist]\nFile1={_PASSWD}\nNumberOfEntries=1\n".encode()
    yield "list.asx", f'<asx version="3"><entry><ref href="{_INSIDE}"/></entry></asx>'.encode()
    yield "manifest.mp4", f"<MPD><Period><BaseURL>{_PASSWD}</BaseURL></Period></MPD>".encode()
    yield (
        "entity.svg",
        (
            f'<!DOCTYPE a [<!ENTITY b SYSTEM "{_PASSWD}">]><svg xmlns="a"><text>&b;</text></svg>'
        ).encode(),
    )
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    yield (
        "laughs.xml",
        (
            f'<!DOCTYPE feed [<!ENTITY a0 "ha">{laughs}]><feed xmlns="http://www.w3.org/2005/Atom">'
            f'<title>&a9;</title><entry><link href="{_INSIDE}"/></entry></feed>'
        ).encode(),
    )
    yield (
        "alias.mov",
        _ftyp(b"qt  ") + _atom(b"moov", _atom(b"dref", _atom(b"url ", _PASSWD.encode()))),
    )
    yield (
        "reference.mov",
        _atom(
            b"moov",
            _atom(b"rmra", _atom(b"rmda", _atom(b"rdrf", b"\0" * 4 + b"url " + _INSIDE.encode()))),
        ),
    )


def _others() -> Iterator[tuple[str, bytes]]:
    yield "nothing.mp4", b""
    yield "one-byte.mp3", b"\0"
    yield "page.mp4", b"<!doctype html><title>Not found</title>" + b"<p>" * 500
    yield "noise.mp4", np.random.default_rng(1).bytes(100_000)
    yield "zeros.wav", bytes(100_000)
    yield "text.mp3", b"To be, or not to be. " * 1000
    yield "program.mp4", b"\x7fELF\x02\x01\x01" + bytes(5000)
    yield "archive.mp4", _zip()
    yield (
        "image.mp4",
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 1 << 30, 1 << 30, 8, 6, 0, 0, 0),
    )
    yield (
        "document.mp4",
        b"%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/URI/URI(file:///etc/passwd)>>>>endobj",
    )
    yield "score.mid", b"MThd" + struct.pack(">IHHH", 6, 1, 0xFFFF, 1)
    yield "silence.mp4", media.encode(media.tone(30.0, loudness=0), "mp4")
    yield "blink.wav", media.encode(media.tone(0.01), "wav")


def _wav(form: bytes, declared_bytes: int) -> bytes:
    chunk = b"fmt " + struct.pack("<I", len(form)) + form
    return b"RIFF" + struct.pack("<I", declared_bytes) + b"WAVE" + chunk + b"data\xff\xff\xff\x7f"


def _atom(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _ftyp(brand: bytes = b"isom") -> bytes:
    return _atom(b"ftyp", brand + bytes(4) + brand)


def _nested_atoms(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        body = _atom(b"moov", body)
    return body


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../etc/cron.d/a", bytes(10_000_000))
    return packed.getvalue()
