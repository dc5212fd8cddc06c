"""The table of failures, and how foreign errors find their place in it."""

import errno
import importlib
import string

import av
import pytest
from yt_dlp.networking.exceptions import TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError

from transcriber import diagnosis
from transcriber.diagnosis import BY_CLASS, classify
from transcriber.failures import FAILURES, VideoFailure, item_error


@pytest.mark.parametrize("reason", FAILURES)
def test_every_failure_is_worded_for_people(reason: str) -> None:
    """Each reason is an upper-case word with a sentence and a hint."""
    failure = FAILURES[reason]
    assert reason == reason.upper()
    assert failure.message.endswith(".") or failure.message.endswith("}")
    assert failure.hint.endswith(".")


def test_every_reason_is_in_the_table() -> None:
    """No translation leads to a reason without a sentence."""
    reasons = {*diagnosis._BY_STATUS.values(), *BY_CLASS.values()}
    reasons |= {reason for _, reason in diagnosis._BY_TEXT}
    assert reasons <= FAILURES.keys()


@pytest.mark.parametrize("name", BY_CLASS)
def test_every_foreign_class_exists(name: str) -> None:
    """A class that a library renames would no longer be recognised."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert f"{found.__module__}.{found.__qualname__}" == name


def _raised(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def _from_yt_dlp(error: Exception) -> DownloadError:
    return DownloadError("ERROR: it failed", (type(error), error, None))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (VideoFailure("NO_AUDIO"), "NO_AUDIO"),
        (_from_yt_dlp(UnsupportedError("http://x/")), "UNSUPPORTED_MEDIA"),
        (_from_yt_dlp(GeoRestrictedError("no")), "SOURCE_GEO_RESTRICTED"),
        (_from_yt_dlp(ExtractorError("x", cause=TransportError("cut"))), "SOURCE_FETCH_FAILED"),
        (_from_yt_dlp(ExtractorError("unable to extract x")), "SOURCE_FETCH_FAILED"),
        (av.InvalidDataError(1, "bad"), "UNSUPPORTED_MEDIA"),
        (_raised(RuntimeError("write"), OSError(errno.ENOSPC, "full")), "DISK_FULL"),
        (RuntimeError("CUDA failed with error out of memory"), "OUT_OF_MEMORY"),
        (KeyError("bug"), "INTERNAL_ERROR"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_foreign_errors_are_translated(error: Exception, reason: str) -> None:
    """The innermost error that is known decides."""
    assert classify(error).reason == reason


_LOGIN_HINT = (
    "Use --cookies, --cookies-from-browser, --username and --password, --netrc-cmd, or --netrc "
    "(...) to provide account credentials"
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"Sign in to confirm you\u2019re not a bot. {_LOGIN_HINT}", "SOURCE_BOT_CHECK"),
        (
            "The current session has been rate-limited by YouTube for up to an hour",
            "SOURCE_RATE_LIMITED",
        ),
        ("This video is DRM protected", "SOURCE_DRM_PROTECTED"),
        (
            "Sign in to confirm your age. This video may be inappropriate for some users. "
            + _LOGIN_HINT,
            "SOURCE_AGE_RESTRICTED",
        ),
        (
            f"Login is required to access age-restricted content. {_LOGIN_HINT}",
            "SOURCE_AGE_RESTRICTED",
        ),
        (
            "Join this channel to get access to members-only content like this video",
            "SOURCE_MEMBERS_ONLY",
        ),
        (f"This video is only available for subscribers. {_LOGIN_HINT}", "SOURCE_MEMBERS_ONLY"),
        ("This video is paid, subscribe to download it", "SOURCE_MEMBERS_ONLY"),
        (
            "Private video. Sign in if you've been granted access to this video. " + _LOGIN_HINT,
            "SOURCE_PRIVATE",
        ),
        (
            "This video is protected by a password, use the --video-password option",
            "SOURCE_PRIVATE",
        ),
        ("This song is blocked in this region", "SOURCE_GEO_RESTRICTED"),
        (
            "This video is not available from your location due to geo restriction",
            "SOURCE_GEO_RESTRICTED",
        ),
        ("This live event will begin in 2 days.", "MEDIA_IS_UPCOMING"),
        ("Premieres in 3 hours", "MEDIA_IS_UPCOMING"),
        ("Live event has not yet started", "MEDIA_IS_UPCOMING"),
        ("The channel is not currently live", "CHANNEL_OFFLINE"),
        ("Video unavailable. This video has been removed by the uploader", "SOURCE_REMOVED"),
        (
            "This video is no longer available because the YouTube account associated with this "
            "video has been terminated.",
            "SOURCE_REMOVED",
        ),
        ("This video does not exist", "SOURCE_NOT_FOUND"),
        (
            f"This video is only available for registered users. {_LOGIN_HINT}",
            "SOURCE_LOGIN_REQUIRED",
        ),
        ("Gone fishing", "SOURCE_UNAVAILABLE"),
    ],
)
def test_what_sites_say_is_understood(text: str, reason: str) -> None:
    """Texts as yt-dlp words them; each kind of refusal has a reason of its own."""
    assert classify(_from_yt_dlp(ExtractorError(text, expected=True))).reason == reason


def test_an_error_keeps_its_facts() -> None:
    """Facts fill the sentence and travel as metadata."""
    error = item_error("MEDIA_TOO_LONG", limit_seconds=60)
    assert "60" in error.message
    assert dict(error.metadata) == {"limit_seconds": "60"}
    assert not error.retryable


def test_sentences_name_only_facts() -> None:
    """A brace in a sentence is the name of a fact, nothing else."""
    for failure in FAILURES.values():
        names = [name for _, name, _, _ in string.Formatter().parse(failure.message) if name]
        assert all(name.isidentifier() for name in names)
