"""Whether a CreateBatchRequest can be accepted.

Pure: no clock, no store. A request is accepted whole or refused with all of its violations; what
comes out of ``check_create`` has no field left to a default.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from batchscribe.v1.batch_pb2 import (
    TRANSCRIBE_TASK_TRANSLATE,
    BatchOptions,
    RetryPolicy,
    VideoSpec,
)
from batchscribe.v1.batch_service_pb2 import CreateBatchRequest
from google.protobuf.duration_pb2 import Duration

from gateway.addresses import url_fault, webhook_fault
from gateway.effective import language_code, resolve_options, resolve_video
from gateway.errors import InvalidRequest, Violation
from gateway.languages import AUTO, WHISPER_LANGUAGES
from gateway.option_rules import check_length, check_options, seconds_of

MAX_VIOLATIONS = 100
# They travel in trailers, of which a client takes 8 KiB unless told otherwise.
MAX_VIOLATIONS_LENGTH = 5000
MAX_CUSTOM_ID_LENGTH = 64
MAX_DISPLAY_NAME_LENGTH = 63
MAX_ANNOTATIONS = 16
MAX_ANNOTATION_KEY_LENGTH = 64
MAX_ANNOTATION_VALUE_LENGTH = 512
MAX_ATTEMPTS = 10
MAX_INITIAL_BACKOFF_SECONDS = 3600
MAX_BACKOFF_SECONDS = 24 * 3600
MAX_ITEM_TIMEOUT_SECONDS = 12 * 3600
MIN_TTL_SECONDS = 60
MAX_TTL_SECONDS = 365 * 24 * 3600

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.I)


@dataclass(frozen=True)
class Limits:
    """What this server allows in one batch."""

    max_videos: int
    default_model: str
    max_concurrent: int = 10
    default_max_concurrent: int = 3
    http_webhooks: bool = False
    file_urls: bool = False


@dataclass(frozen=True)
class ModelFacts:
    """What has to be known of a model to accept a video for it."""

    name: str
    multilingual: bool


@dataclass(frozen=True)
class CheckedBatch:
    """A batch that may be stored: options in effect, videos in the order given.

    Each video has its language code (or "auto"), its model and every option set.
    """

    options: BatchOptions
    videos: tuple[VideoSpec, ...]
    display_name: str
    annotations: Mapping[str, str]
    ttl_ms: int


def check_create(
    request: CreateBatchRequest, limits: Limits, models: Mapping[str, ModelFacts]
) -> CheckedBatch:
    """Return the batch that ``request`` asks for; raise InvalidRequest with every violation.

    As many are listed as one answer can carry, and no videos are looked at beyond the allowed
    number.
    """
    if violations := _as_many_as_fit(_violations(request, limits, models)):
        raise InvalidRequest(violations, {"maxVideosPerBatch": str(limits.max_videos)})
    options = resolve_options(request.options, limits.default_max_concurrent)
    return CheckedBatch(
        options=options,
        videos=tuple(
            resolve_video(video, options.defaults, limits.default_model) for video in request.videos
        ),
        display_name=request.display_name,
        annotations=dict(request.annotations),
        ttl_ms=request.ttl.ToMilliseconds(),
    )


def is_uuid4(text: str) -> bool:
    """True for a random UUID in its usual form of 36 characters."""
    return _UUID4.fullmatch(text) is not None


def canonical_body(request: CreateBatchRequest) -> bytes:
    """Return the bytes that two requests share if they ask for the same batch.

    ``request_id`` and ``validate_only`` are not part of it.
    """
    body = CreateBatchRequest()
    body.CopyFrom(request)
    body.ClearField("request_id")
    body.ClearField("validate_only")
    return body.SerializeToString(deterministic=True)


def _as_many_as_fit(violations: Iterable[Violation]) -> list[Violation]:
    fitting: list[Violation] = []
    length = 0
    for found in islice(violations, MAX_VIOLATIONS):
        length += len(found.field) + len(found.reason) + len(found.description)
        if fitting and length > MAX_VIOLATIONS_LENGTH:
            break
        fitting.append(found)
    return fitting


def _violations(
    request: CreateBatchRequest, limits: Limits, models: Mapping[str, ModelFacts]
) -> Iterator[Violation]:
    videos = request.videos[: limits.max_videos]
    yield from _check_video_count(len(request.videos), limits)
    yield from _check_request_fields(request)
    yield from _check_max_concurrent(request.options.max_concurrent, limits)
    yield from _check_webhook(request.options.notify_webhook, limits)
    yield from _check_retry_policy(request.options.retry_policy)
    yield from _check_span(
        "options.item_timeout", request.options.item_timeout, 1, MAX_ITEM_TIMEOUT_SECONDS
    )
    yield from _check_span("ttl", request.ttl, MIN_TTL_SECONDS, MAX_TTL_SECONDS)
    yield from check_options("options.defaults", request.options.defaults)
    for index, video in enumerate(videos):
        yield from _check_video(f"videos[{index}]", video, limits)
        resolved = resolve_video(video, request.options.defaults, limits.default_model)
        yield from _check_model(f"videos[{index}].model", resolved, models)
    yield from _check_custom_ids([video.custom_id for video in videos])


def _check_video_count(count: int, limits: Limits) -> Iterator[Violation]:
    allowed = f"a batch takes 1 to {limits.max_videos}"
    if count == 0:
        yield Violation("videos", "VIDEOS_EMPTY", f"The list is empty; {allowed} videos.")
    elif count > limits.max_videos:
        yield Violation("videos", "VIDEOS_TOO_MANY", f"{count} videos were given; {allowed}.")


def _check_request_fields(request: CreateBatchRequest) -> Iterator[Violation]:
    if request.request_id and not is_uuid4(request.request_id):
        yield Violation(
            "request_id",
            "REQUEST_ID_MALFORMED",
            "The request id is not a UUID4 such as 7f2c1e0a-5d0b-4c4e-9a51-0c6f5e1d2b3a.",
        )
    yield from check_length("display_name", request.display_name, MAX_DISPLAY_NAME_LENGTH)
    yield from _check_annotations(request.annotations)


def _check_annotations(annotations: Mapping[str, str]) -> Iterator[Violation]:
    if len(annotations) > MAX_ANNOTATIONS:
        yield Violation(
            "annotations",
            "ANNOTATIONS_TOO_MANY",
            f"{len(annotations)} keys were given; at most {MAX_ANNOTATIONS} are allowed.",
        )
    for key, value in islice(sorted(annotations.items()), MAX_ANNOTATIONS):
        path = f"annotations[{_quoted(key)}]"
        if not 1 <= len(key) <= MAX_ANNOTATION_KEY_LENGTH:
            yield Violation(
                path,
                "KEY_LENGTH_OUT_OF_RANGE",
                f"A key has 1 to {MAX_ANNOTATION_KEY_LENGTH} characters, this one has {len(key)}.",
            )
        yield from check_length(path, value, MAX_ANNOTATION_VALUE_LENGTH)


def _check_max_concurrent(value: int, limits: Limits) -> Iterator[Violation]:
    if not 0 <= value <= limits.max_concurrent:
        yield Violation(
            "options.max_concurrent",
            "MAX_CONCURRENT_OUT_OF_RANGE",
            f"{value} is not in 1 to {limits.max_concurrent}; "
            f"0 means {limits.default_max_concurrent}.",
        )


def _check_retry_policy(policy: RetryPolicy) -> Iterator[Violation]:
    path = "options.retry_policy"
    if not 0 <= policy.max_attempts <= MAX_ATTEMPTS:
        yield Violation(
            f"{path}.max_attempts",
            "MAX_ATTEMPTS_OUT_OF_RANGE",
            f"{policy.max_attempts} is not in 1 to {MAX_ATTEMPTS}; 0 means the server's default.",
        )
    yield from _check_span(
        f"{path}.initial_backoff", policy.initial_backoff, 0, MAX_INITIAL_BACKOFF_SECONDS
    )
    yield from _check_span(f"{path}.max_backoff", policy.max_backoff, 0, MAX_BACKOFF_SECONDS)


def _check_span(path: str, span: Duration, least: int, most: int) -> Iterator[Violation]:
    seconds = seconds_of(span)
    if seconds and not least <= seconds <= most:
        sentence = f"{seconds:.10g} s is not in {least} s to {most} s."
        yield Violation(path, "DURATION_OUT_OF_RANGE", sentence)


def _check_webhook(url: str, limits: Limits) -> Iterator[Violation]:
    if url and (fault := webhook_fault(url, allow_http=limits.http_webhooks)):
        yield Violation("options.notify_webhook", *fault)


def _check_video(path: str, video: VideoSpec, limits: Limits) -> Iterator[Violation]:
    yield from _check_url(f"{path}.url", video.url, limits)
    yield from _check_language(f"{path}.language", video.language)
    yield from check_length(f"{path}.custom_id", video.custom_id, MAX_CUSTOM_ID_LENGTH)
    yield from check_options(f"{path}.options", video.options)


def _check_url(path: str, url: str, limits: Limits) -> Iterator[Violation]:
    if fault := url_fault(url, allow_files=limits.file_urls):
        yield Violation(path, *fault)


def _check_language(path: str, language: str) -> Iterator[Violation]:
    if language_code(language) is None:
        yield Violation(
            path,
            "LANGUAGE_UNKNOWN",
            f"{_quoted(language)} is no language that can be transcribed; use {AUTO} or one of "
            f"{_listed(WHISPER_LANGUAGES)}.",
        )


def _check_model(
    path: str, video: VideoSpec, models: Mapping[str, ModelFacts]
) -> Iterator[Violation]:
    facts = models.get(video.model)
    if facts is None:
        yield Violation(
            path,
            "MODEL_UNKNOWN",
            f"There is no model {_quoted(video.model)} here; {_usable(sorted(models))}.",
        )
    elif not facts.multilingual and _needs_multilingual(video):
        names = sorted(model.name for model in models.values() if model.multilingual)
        yield Violation(
            path,
            "MODEL_ENGLISH_ONLY",
            f"Model {facts.name} understands English only and cannot translate; {_usable(names)}.",
        )


def _needs_multilingual(video: VideoSpec) -> bool:
    other_language = video.language not in ("", AUTO, "en")
    return other_language or video.options.task == TRANSCRIBE_TASK_TRANSLATE


def _check_custom_ids(custom_ids: Sequence[str]) -> Iterator[Violation]:
    counts = Counter(custom_ids)
    for index, custom_id in enumerate(custom_ids):
        if custom_id and counts[custom_id] > 1:
            yield Violation(
                f"videos[{index}].custom_id",
                "CUSTOM_ID_DUPLICATE",
                f"{_quoted(custom_id)} is given {counts[custom_id]} times; "
                "it must be unique within the batch.",
            )


def _usable(names: Sequence[str]) -> str:
    return f"use one of {_listed(names)}" if names else "none can be used at present"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _quoted(text: str) -> str:
    """Return ``text`` quoted, cut, and with nothing in it that could upset a terminal or a log."""
    return json.dumps(text if len(text) <= 64 else text[:64] + "...")
