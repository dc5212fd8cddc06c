"""The table of failures, and how foreign errors find their place in it."""

import errno
import importlib
import string

import av
import pytest
from yt_dlp.networking.exceptions import TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError

from transcriber import failures
from transcriber.failures import BY_CLASS, FAILURES, VideoFailure, classify, item_error


@pytest.mark.parametrize("reason", FAILURES)
def test_every_failure_is_worded_for_people(reason: str) -> None:
    """Each reason is an upper-case word with a sentence and a hint."""
    failure = FAILURES[reason]
    assert reason == reason.upper()
    assert failure.message.endswith(".") or failure.message.endswith("}")
    assert failure.hint.endswith(".")


def test_every_reason_is_in_the_table() -> None:
    """No translation leads to a reason without a sentence."""
    reasons = {*failures._BY_STATUS.values(), *BY_CLASS.values()}
    reasons |= {reason for _, reason in failures._BY_TEXT}
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
        (_from_yt_dlp(GeoRestrictedError("no")), "SOURCE_RESTRICTED"),
        (_from_yt_dlp(ExtractorError("x", cause=TransportError("cut"))), "SOURCE_FETCH_FAILED"),
        (_from_yt_dlp(ExtractorError("Private video", expected=True)), "SOURCE_RESTRICTED"),
        (
            _from_yt_dlp(ExtractorError("Sign in to confirm you're not a bot", expected=True)),
            "SOURCE_BOT_CHECK",
        ),
        (
            _from_yt_dlp(ExtractorError("Sign in to view this video", expected=True)),
            "SOURCE_LOGIN_REQUIRED",
        ),
        (
            _from_yt_dlp(ExtractorError("rate-limited for up to an hour", expected=True)),
            "SOURCE_RATE_LIMITED",
        ),
        (_from_yt_dlp(ExtractorError("Gone fishing", expected=True)), "SOURCE_UNAVAILABLE"),
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
