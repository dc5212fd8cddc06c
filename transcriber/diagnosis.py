"""Which failure an error of a library means. Foreign errors are translated here and nowhere else.

They are recognised by class name, HTTP status and text, so that this can be read where yt-dlp and
PyAV are not imported.
"""

import errno
import re
from collections.abc import Iterator

from batchscribe.v1 import batch_pb2

from transcriber.failures import INTERNAL, VideoFailure, item_error

_BY_STATUS = {
    401: "SOURCE_LOGIN_REQUIRED",
    403: "SOURCE_FORBIDDEN",
    404: "SOURCE_NOT_FOUND",
    410: "SOURCE_REMOVED",
    429: "SOURCE_RATE_LIMITED",
    451: "SOURCE_WITHHELD",
}
_PASSING_STATUSES = (408, 425)  # With 5xx: a later request may do better.

# What sites say through yt-dlp, for which it has no classes. First match wins.
_BY_TEXT = (
    (re.compile(r"not a bot|captcha", re.I), "SOURCE_BOT_CHECK"),
    (re.compile(r"rate.?limit|too many requests", re.I), "SOURCE_RATE_LIMITED"),
    (re.compile(r"\bDRM\b", re.I), "SOURCE_DRM_PROTECTED"),
    (
        re.compile(r"confirm your age|age.restrict|for some users|mature", re.I),
        "SOURCE_AGE_RESTRICTED",
    ),
    (re.compile(r"members|subscri|premium|purchase|\bpaid\b", re.I), "SOURCE_MEMBERS_ONLY"),
    (re.compile(r"\bprivate\b|by a password|video-password", re.I), "SOURCE_PRIVATE"),
    (re.compile(r"geo.?restrict|(country|region|location)\b", re.I), "SOURCE_GEO_RESTRICTED"),
    (re.compile(r"live event|premieres|not (yet )?(started|begun)", re.I), "MEDIA_IS_UPCOMING"),
    (re.compile(r"is offline|not currently live", re.I), "CHANNEL_OFFLINE"),
    (re.compile(r"removed|deleted|terminated|no longer", re.I), "SOURCE_REMOVED"),
    (re.compile(r"not found|does not exist", re.I), "SOURCE_NOT_FOUND"),
    # Last of what sites say: to many other reasons yt-dlp adds how to give it a login.
    (re.compile(r"sign in|log ?in|cookies|account", re.I), "SOURCE_LOGIN_REQUIRED"),
    (re.compile(r"unsupported url|no video|no (suitable )?formats", re.I), "UNSUPPORTED_MEDIA"),
    (re.compile(r"is empty|any data blocks", re.I), "MEDIA_EMPTY"),
)

# By class name, nearest first along each error's ancestry.
BY_CLASS = {
    "yt_dlp.utils.UnsupportedError": "UNSUPPORTED_MEDIA",
    "yt_dlp.utils.GeoRestrictedError": "SOURCE_GEO_RESTRICTED",
    "yt_dlp.utils.UserNotLive": "CHANNEL_OFFLINE",
    "yt_dlp.utils.ContentTooShortError": "SOURCE_FETCH_FAILED",
    "yt_dlp.networking.exceptions.TransportError": "SOURCE_FETCH_FAILED",
    "yt_dlp.networking.exceptions.HTTPError": "SOURCE_FETCH_FAILED",
    "yt_dlp.networking.exceptions.RequestError": "SOURCE_UNAVAILABLE",
    "av.error.FFmpegError": "UNSUPPORTED_MEDIA",
    "builtins.MemoryError": "OUT_OF_MEMORY",
}


def classify(error: BaseException) -> batch_pb2.ItemError:
    """Translate an error of ours, of yt-dlp, of PyAV or of CTranslate2."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, VideoFailure):
            return item_error(cause.reason, **cause.facts)
    for cause in causes:
        if isinstance(status := getattr(cause, "status", None), int):
            return item_error(_reason_of_status(status), http_status=status)
    # The innermost error knows best; what wraps it only says where it happened.
    for cause in reversed(causes):
        if reason := _reason_of(cause):
            return item_error(reason)
    return item_error(INTERNAL)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether it is how CTranslate2 says that the device's memory is full."""
    return isinstance(error, RuntimeError) and "out of memory" in str(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield ``error`` and what it was raised from, the way yt-dlp keeps it too."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        exc_info = getattr(error, "exc_info", None) or (None, None)
        error = exc_info[1] or getattr(error, "cause", None) or error.__cause__


def _reason_of_status(status: int) -> str:
    if status >= 500 or status in _PASSING_STATUSES:
        return "SOURCE_FETCH_FAILED"
    return _BY_STATUS.get(status, "SOURCE_UNAVAILABLE")


def _reason_of(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "DISK_FULL"
    for ancestor in type(error).__mro__:
        if reason := BY_CLASS.get(f"{ancestor.__module__}.{ancestor.__qualname__}"):
            return reason
    if type(error).__name__ in ("ExtractorError", "DownloadError"):
        return _reason_of_text(error)
    if is_out_of_memory(error):
        return "OUT_OF_MEMORY"
    return None


def _reason_of_text(error: BaseException) -> str:
    for pattern, reason in _BY_TEXT:
        if pattern.search(str(error)):
            return reason
    # yt-dlp marks what the site itself says as expected; the rest are sites that changed.
    return "SOURCE_UNAVAILABLE" if getattr(error, "expected", False) else "SOURCE_FETCH_FAILED"
