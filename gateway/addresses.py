"""Which addresses a user may hand in, by their text alone.

A courtesy: what can never be right is refused before it costs an attempt. Where a name leads is
decided when it is dialled, by the filter; here nothing is looked up.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

MAX_URL_LENGTH = 2048

# yt-dlp takes what follows this mark as orders to its extractors.
_SMUGGLE_MARK = "#__youtubedl_smuggle"

# Of the ports below, other services than the web live behind all but its own two.
_SERVICE_PORTS = 1024
_WEB_PORTS = (80, 443)

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_MAX_NAME_LENGTH = 253
# Resolvers read 2130706433, 0x7f.1 and 127.1 as addresses: a last part like these makes one.
_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?")


def url_fault(url: str, *, allow_files: bool = False) -> tuple[str, str] | None:
    """Return the reason (for programs) and the sentence (for people) why ``url`` is refused."""
    if not url:
        return "URL_MISSING", "An address is needed, http or https."
    if len(url) > MAX_URL_LENGTH:
        return "URL_TOO_LONG", f"An address has at most {MAX_URL_LENGTH} characters."
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in url):
        return "URL_MALFORMED", "An address has no spaces, control characters or backslashes."
    if _SMUGGLE_MARK in url:
        return "URL_NOT_ALLOWED", f"An address must not contain {_SMUGGLE_MARK}."
    if allow_files and url[:5].lower() == "file:":
        return _file_fault(url)
    return _part_fault(_split(url))


def webhook_fault(url: str, *, allow_http: bool) -> tuple[str, str] | None:
    """Return why ``url`` cannot be told of a batch's end; asked again before each message."""
    if not allow_http and url[:5].lower() == "http:":
        return "URL_SCHEME_NOT_ALLOWED", "Only https addresses are told."
    return url_fault(url)


def _file_fault(url: str) -> tuple[str, str] | None:
    if not url.startswith("file:///") or "?" in url or "#" in url:
        return "URL_MALFORMED", "This is no address of a file such as file:///corpus/talk.mp3."
    return None


def _part_fault(parts: SplitResult | None) -> tuple[str, str] | None:
    if parts is None:
        return "URL_MALFORMED", "This is no complete address such as https://example.com/talk.mp4."
    if parts.scheme not in ("http", "https"):
        return "URL_SCHEME_NOT_ALLOWED", "Only http and https addresses are allowed."
    if "@" in parts.netloc:
        return "URL_NOT_ALLOWED", "An address must not contain a user name or a password."
    if not parts.hostname:
        return "URL_MALFORMED", "The address names no host."
    if parts.port is not None and parts.port < _SERVICE_PORTS and parts.port not in _WEB_PORTS:
        sentence = f"Port {parts.port} is not one of the web's: 80, 443 and those from 1024 on."
        return "URL_PORT_NOT_ALLOWED", sentence
    if not _is_host(parts.hostname):
        return "URL_MALFORMED", "The host is no name, no IPv4 address in four numbers and no IPv6."
    return None


def _is_host(host: str) -> bool:
    try:
        if ":" in host:
            return IPv6Address(host).scope_id is None
        name = host.encode("idna").decode()
        if _NUMBER.fullmatch(name):
            return bool(IPv4Address(name))
    except (AddressValueError, UnicodeError):
        return False
    return _NAME.fullmatch(name) is not None and len(name) <= _MAX_NAME_LENGTH


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # Raises for a port that is no number.
    except ValueError:
        return None
    return parts
