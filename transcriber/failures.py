"""Every way a video can fail: the word for programs, the sentence and the hint for people."""

from collections.abc import Mapping
from dataclasses import dataclass

from batchscribe.v1 import batch_pb2

INTERNAL = "INTERNAL_ERROR"


@dataclass(frozen=True)
class Failure:
    """``message`` may name facts in braces, such as ``{http_status}``."""

    message: str
    hint: str
    retryable: bool = False


FAILURES: Mapping[str, Failure] = {
    "SOURCE_NOT_FOUND": Failure(
        "There is nothing at this address.",
        "Check the address; the video may have been removed.",
    ),
    "SOURCE_FORBIDDEN": Failure(
        "The site refuses access to this address.",
        "Open the address in a private browser window: only what shows there can be fetched.",
    ),
    "SOURCE_REMOVED": Failure(
        "The site says that this has been removed.",
        "Use a copy from elsewhere.",
    ),
    "SOURCE_PRIVATE": Failure(
        "The owner has made this private or has put it behind a password.",
        "Ask the owner to publish it, or to give you the file.",
    ),
    "SOURCE_MEMBERS_ONLY": Failure(
        "The site shows this only to members or to those who pay.",
        "Use a copy that everybody may see.",
    ),
    "SOURCE_AGE_RESTRICTED": Failure(
        "The site shows this only to viewers whose age it knows.",
        "Ask the operator of this service to give it cookies for this site, or use another copy.",
    ),
    "SOURCE_GEO_RESTRICTED": Failure(
        "The site does not show this in the country of this service.",
        "Use another copy, or ask the operator for a proxy in the right country.",
    ),
    "SOURCE_DRM_PROTECTED": Failure(
        "This is protected against copying, so it cannot be read.",
        "Use a copy without protection.",
    ),
    "SOURCE_WITHHELD": Failure(
        "The site says that the law keeps it from showing this here.",
        "Use a copy from elsewhere.",
    ),
    "SOURCE_LOGIN_REQUIRED": Failure(
        "The site wants a login.",
        "Ask the operator of this service to give it cookies for this site.",
    ),
    "SOURCE_BOT_CHECK": Failure(
        "The site wants a proof that a person is asking.",
        "It will be tried again later; if it stays so, ask the operator for cookies or a proxy.",
        retryable=True,
    ),
    "SOURCE_RATE_LIMITED": Failure(
        "The site says that too many requests came from here.",
        "Wait; it will be tried again. Fewer videos of one site at a time help.",
        retryable=True,
    ),
    "SOURCE_UNAVAILABLE": Failure(
        "The site says that this video cannot be played.",
        "Open the address in a browser to see the site's own explanation.",
    ),
    "SOURCE_FETCH_FAILED": Failure(
        "The media could not be fetched: the network or the site failed.",
        "It will be tried again; if it stays so, check that the address opens in a browser.",
        retryable=True,
    ),
    "SOURCE_TIMED_OUT": Failure(
        "Fetching the media took longer than {limit_seconds} s.",
        "The site may be slow just now; it will be tried again.",
        retryable=True,
    ),
    "SOURCE_ADDRESS_NOT_ALLOWED": Failure(
        "This address, or one that it refers to, does not lead to the internet.",
        "Use an address that everybody can reach, at the usual port; "
        "the operator of this service can allow others.",
    ),
    "FILE_UNAVAILABLE": Failure(
        "There is no such file that this service may read.",
        "Ask the operator which directory is open to file: addresses; links do not lead out of it.",
    ),
    "PLAYLIST_NOT_ALLOWED": Failure(
        "This address is a list of videos, not one video.",
        "Set expand_playlists to have each of its videos transcribed, or give the address of one.",
    ),
    "PLAYLIST_EMPTY": Failure(
        "This list has no videos.",
        "Check that the list is public and that it has videos.",
    ),
    "MEDIA_IS_LIVE": Failure(
        "This is a live stream whose recording is not there yet.",
        "Try again when it has ended.",
    ),
    "MEDIA_IS_UPCOMING": Failure(
        "This has not begun yet.",
        "Try again when it has ended.",
    ),
    "CHANNEL_OFFLINE": Failure(
        "This is the address of a channel that is not on air.",
        "Give the address of a recording.",
    ),
    "UNSUPPORTED_MEDIA": Failure(
        "What is at this address is no audio or video that can be read.",
        "Give the address of a media file, or of a page of a site that yt-dlp knows.",
    ),
    "MEDIA_EMPTY": Failure(
        "The file at this address is empty.",
        "Check that the upload was complete.",
    ),
    "NO_AUDIO": Failure(
        "The file has no audio track.",
        "Give a version with sound.",
    ),
    "MEDIA_TRUNCATED": Failure(
        "The file ends before its audio does.",
        "Upload the whole file again.",
    ),
    "MEDIA_TOO_LONG": Failure(
        "The audio is longer than the {limit_seconds} s that are allowed.",
        "Cut it into shorter files.",
    ),
    "CLIP_OUTSIDE_MEDIA": Failure(
        "The clip starts after the end of the audio.",
        "Choose a part that lies within the audio.",
    ),
    "MEDIA_TOO_LARGE": Failure(
        "The file is larger than the {limit_bytes} bytes that are allowed.",
        "Give an audio-only version, or cut it into smaller files.",
    ),
    "MODEL_UNAVAILABLE": Failure(
        "The model {model} cannot be loaded: {cause}",
        "Choose another model, or ask the operator to put this one into the model directory.",
        retryable=True,
    ),
    "LANGUAGE_UNCERTAIN": Failure(
        "The language was not recognised with certainty: {language} has a probability of"
        " {probability}.",
        "Give the language of the video, or ask for a lower min_language_confidence.",
    ),
    "LANGUAGE_NOT_SUPPORTED": Failure(
        "The model {model} cannot do this for the language {language}.",
        "Choose a model that knows it: base knows most languages, large-v3 all of them.",
    ),
    "DISK_FULL": Failure(
        "The transcriber has no room left for the media.",
        "It will be tried again; the operator can free space or lower the size limits.",
        retryable=True,
    ),
    "OUT_OF_MEMORY": Failure(
        "The transcriber ran out of memory.",
        "It will be tried again; a smaller model needs less.",
        retryable=True,
    ),
    "SOURCE_STALLED": Failure(
        "Fetching the media got nowhere for {limit_seconds} s.",
        "The site may be slow just now; it will be tried again.",
        retryable=True,
    ),
    "WORKER_UNAVAILABLE": Failure(
        "The transcriber cannot work just now: one of its processes does not start.",
        "It will be tried again; the log of the transcriber says why.",
        retryable=True,
    ),
    "WORKER_CRASHED": Failure(
        "The transcriber's process ended while it worked on this video.",
        "It will be tried again.",
        retryable=True,
    ),
    INTERNAL: Failure(
        "Something went wrong inside the transcriber.",
        "It will be tried again; if it stays so, tell the operator, whose log has the details.",
        retryable=True,
    ),
}


class VideoFailure(Exception):
    """The video cannot be transcribed for a reason that we name ourselves."""

    def __init__(self, reason: str, **facts: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.facts = {name: str(value) for name, value in facts.items()}


def item_error(reason: str, **facts: object) -> batch_pb2.ItemError:
    """Return the error of an item; ``facts`` fill the sentence and are its metadata."""
    failure = FAILURES[reason]
    metadata = {name: str(value) for name, value in facts.items()}
    return batch_pb2.ItemError(
        reason=reason,
        message=failure.message.format_map(metadata),
        hint=failure.hint,
        metadata=metadata,
        retryable=failure.retryable,
    )
