"""Which addresses a user may hand in, by their text alone.

Where a name leads is decided later, by whoever dials it: here nothing is looked up.
"""

from urllib.parse import SplitResult, urlsplit

MAX_URL_LENGTH = 2048

# yt-dlp takes what follows this mark as orders to its extractors.
_SMUGGLE_MARK = "#__youtubedl_smuggle"


def url_fault(url: str) -> tuple[str, str] | None:
    """Return the reason (for programs) and the sentence (for people) why ``url`` is refused."""
    if not url:
        return "URL_MISSING", "An address is needed, http or https."
    if len(url) > MAX_URL_LENGTH:
        return "URL_TOO_LONG", f"An address has at most {MAX_URL_LENGTH} characters."
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in url):
        return "URL_MALFORMED", "An address has no spaces, control characters or backslashes."
    if _SMUGGLE_MARK in url:
        return "URL_NOT_ALLOWED", f"An address must not contain {_SMUGGLE_MARK}."
    return _part_fault(_split(url))


def webhook_fault(url: str, *, allow_http: bool) -> tuple[str, str] | None:
    """Return why ``url`` cannot be told of a batch's end; asked again before each message."""
    if not allow_http and url[:5].lower() == "http:":
        return "URL_SCHEME_NOT_ALLOWED", "Only https addresses are told."
    return url_fault(url)


def _part_fault(parts: SplitResult | None) -> tuple[str, str] | None:
    if parts is None:
        return "URL_MALFORMED", "This is no complete address such as https://example.com/talk.mp4."
    if parts.scheme not in ("http", "https"):
        return "URL_SCHEME_NOT_ALLOWED", "Only http and https addresses are allowed."
    if "@" in parts.netloc:
        return "URL_NOT_ALLOWED", "An address must not contain a user name or a password."
    if not parts.hostname:
        return "URL_MALFORMED", "The address names no host."
    return None


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # Raises for a port that is no number.
    except ValueError:
        return None
    return parts
