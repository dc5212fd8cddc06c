"""What CreateBatch accepts, what it refuses and in which words."""

import uuid
from typing import Any, cast

import pytest
from batchscribe.v1.batch_pb2 import (
    TRANSCRIBE_TASK_TRANSCRIBE,
    TRANSCRIBE_TASK_TRANSLATE,
    BatchOptions,
    Clip,
    RetryPolicy,
    TranscribeOptions,
    VideoSpec,
)
from batchscribe.v1.batch_service_pb2 import CreateBatchRequest
from google.protobuf.duration_pb2 import Duration

from gateway.errors import InvalidRequest
from gateway.languages import WHISPER_LANGUAGES, whisper_code
from gateway.validation import (
    MAX_VIOLATIONS_LENGTH,
    CheckedBatch,
    Limits,
    ModelFacts,
    canonical_body,
    check_create,
)

URL = "https://example.com/talk.mp4"
LIMITS = Limits(max_videos=10, default_model="base")
MODELS = {
    "base": ModelFacts("base", multilingual=True),
    "tiny.en": ModelFacts("tiny.en", multilingual=False),
}


def check(*videos: VideoSpec, limits: Limits = LIMITS, **fields: Any) -> CheckedBatch:
    request = CreateBatchRequest(videos=videos, **fields)
    return check_create(request, limits, MODELS)


def faults(*videos: VideoSpec, **fields: Any) -> list[tuple[str, str]]:
    """Return (field, reason) of every violation."""
    with pytest.raises(InvalidRequest) as caught:
        check(*videos, **fields)
    return [(found.field, found.reason) for found in caught.value.violations]


def _span(seconds: int, nanos: int = 0) -> Duration:
    return Duration(seconds=seconds, nanos=nanos)


def _clip(start: int | None = None, end: int | None = None) -> Clip:
    clip = Clip()
    if start is not None:
        clip.start_offset.FromSeconds(start)
    if end is not None:
        clip.end_offset.FromSeconds(end)
    return clip


def test_files_are_taken_where_the_operator_allows_it() -> None:
    """Their addresses are absolute, on the service's own machine, and nothing but a path."""
    limits = Limits(max_videos=10, default_model="base", file_urls=True)
    assert check(VideoSpec(url="file:///corpus/a%20talk.mp3"), limits=limits).videos
    for url in ("file:talk.mp3", "file://host/talk.mp3", "file:///a?b", "file:///a#b"):
        with pytest.raises(InvalidRequest) as caught:
            check(VideoSpec(url=url), limits=limits)
        assert [found.reason for found in caught.value.violations] == ["URL_MALFORMED"]


def test_every_default_is_filled_in() -> None:
    """A bare request comes back with the documented default of every field."""
    batch = check(VideoSpec(url=URL))
    options = TranscribeOptions(
        task=TRANSCRIBE_TASK_TRANSCRIBE,
        word_timestamps=False,
        vad_filter=True,
        beam_size=5,
        min_language_confidence=0,
    )
    assert batch.options == BatchOptions(
        parallel=True, max_concurrent=3, continue_on_error=True, defaults=options
    )
    assert batch.videos == (VideoSpec(url=URL, language="auto", model="base", options=options),)


def test_a_video_overrides_the_batch() -> None:
    """A field of a video's own options replaces the batch's, lists included; others stay."""
    defaults = TranscribeOptions(
        beam_size=1, hotwords=["Ana"], word_timestamps=True, clip=_clip(start=60, end=120)
    )
    own = TranscribeOptions(hotwords=["Bob"], word_timestamps=False, clip=_clip(end=30))
    batch = check(VideoSpec(url=URL, options=own), options=BatchOptions(defaults=defaults))
    resolved = batch.videos[0].options
    assert (resolved.beam_size, list(resolved.hotwords)) == (1, ["Bob"])
    assert resolved.word_timestamps is False
    assert resolved.clip == _clip(end=30)


def test_sequential_means_one_at_a_time() -> None:
    """``parallel=false`` makes the effective max_concurrent 1, whatever was asked for."""
    batch = check(VideoSpec(url=URL), options=BatchOptions(parallel=False, max_concurrent=7))
    assert (batch.options.parallel, batch.options.max_concurrent) == (False, 1)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "en"),
        ("pt-BR", "pt"),
        ("PT_br", "pt"),
        ("zh-TW", "zh"),
        ("zh-Hant-HK", "zh"),
        ("cmn", "zh"),
        ("yue", "yue"),
        ("zh-yue", "yue"),
        ("iw", "he"),
        ("nb-NO", "no"),
        ("jv", "jw"),
        ("jw", "jw"),
        ("fil", "tl"),
        ("tl", "tl"),
        ("in", "id"),
        ("eng", "en"),
    ],
)
def test_language_tags_find_their_code(tag: str, code: str) -> None:
    """Regions, legacy codes, macrolanguages and any case lead to Whisper's own code."""
    assert check(VideoSpec(url=URL, language=tag)).videos[0].language == code


def test_whisper_codes_stay_themselves() -> None:
    """Each of Whisper's codes is its own canonical form."""
    assert [whisper_code(code) for code in WHISPER_LANGUAGES] == list(WHISPER_LANGUAGES)


@pytest.mark.parametrize("language", ["", "auto", "AUTO"])
def test_no_language_means_detect(language: str) -> None:
    """An empty language and "auto" in any case ask for detection, English-only model or not."""
    video = VideoSpec(url=URL, language=language, model="tiny.en")
    assert check(video).videos[0].language == "auto"


@pytest.mark.parametrize("language", ["english", "xx", "tlh", "e", "en-", "en pt", "-", "\0"])
def test_unknown_languages_are_refused(language: str) -> None:
    """A tag that is malformed or unknown to Whisper is named, with the codes that can be used."""
    with pytest.raises(InvalidRequest) as caught:
        check(VideoSpec(url=URL, language=language))
    (found,) = caught.value.violations
    assert (found.field, found.reason) == ("videos[0].language", "LANGUAGE_UNKNOWN")
    assert "auto" in found.description
    assert "yue, zh" in found.description


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "URL_MISSING"),
        ("https://e.com/" + "a" * 2048, "URL_TOO_LONG"),
        ("talk.mp4", "URL_SCHEME_NOT_ALLOWED"),
        ("file:///etc/passwd", "URL_SCHEME_NOT_ALLOWED"),
        ("ftp://example.com/a", "URL_SCHEME_NOT_ALLOWED"),
        ("data:text/plain,hi", "URL_SCHEME_NOT_ALLOWED"),
        ("ytsearch50:cats", "URL_SCHEME_NOT_ALLOWED"),
        ("-o/tmp/x", "URL_SCHEME_NOT_ALLOWED"),
        ("https://", "URL_MALFORMED"),
        ("https:///path", "URL_MALFORMED"),
        ("https://:80/", "URL_MALFORMED"),
        ("https://example.com:port/", "URL_MALFORMED"),
        ("https://[::1/", "URL_MALFORMED"),
        ("https://example.com/a b", "URL_MALFORMED"),
        ("https://example.com/a\n", "URL_MALFORMED"),
        ("https://example.com/\0", "URL_MALFORMED"),
        ("https://example.com/\u202egpj", "URL_MALFORMED"),
        ("https://example.com\\@evil.example/", "URL_MALFORMED"),
        ("https://2130706433/", "URL_MALFORMED"),
        ("https://0x7f.1/", "URL_MALFORMED"),
        ("https://127.1/", "URL_MALFORMED"),
        ("https://0177.0.0.1/", "URL_MALFORMED"),
        ("https://127\u30020\u30020\u30021.5/", "URL_MALFORMED"),
        ("https://[fe80::1%25eth0]/", "URL_MALFORMED"),
        ("https://exam%70le.com/", "URL_MALFORMED"),
        ("https://example..com/", "URL_MALFORMED"),
        ("https://example.com:22/", "URL_PORT_NOT_ALLOWED"),
        ("https://example.com:0/", "URL_PORT_NOT_ALLOWED"),
        ("https://user:secret@example.com/", "URL_NOT_ALLOWED"),
        ("https://example.com/a#__youtubedl_smuggle=%7B%7D", "URL_NOT_ALLOWED"),
    ],
)
def test_bad_addresses_are_refused(url: str, reason: str) -> None:
    """Only complete http(s) addresses without credentials or hidden signs are accepted."""
    assert faults(VideoSpec(url=url)) == [("videos[0].url", reason)]


@pytest.mark.parametrize("url", ["HTTPS://E.com", "http://[::1]:8080/a", "https://é.example/ü?a#b"])
def test_unusual_addresses_are_accepted(url: str) -> None:
    """Case, IPv6, ports and letters beyond ASCII are accepted; the text stays as given."""
    assert check(VideoSpec(url=url)).videos[0].url == url


def test_an_empty_list_is_refused() -> None:
    """A batch without videos is refused."""
    assert faults() == [("videos", "VIDEOS_EMPTY")]


def test_too_many_videos_are_refused() -> None:
    """Eleven videos are refused by a server that allows ten, which it says for programs too."""
    with pytest.raises(InvalidRequest) as caught:
        check(*[VideoSpec(url=URL)] * 11)
    assert [found.field for found in caught.value.violations] == ["videos"]
    assert caught.value.metadata() == {"maxVideosPerBatch": "10"}


@pytest.mark.parametrize("value", [-1, 11])
def test_max_concurrent_has_a_range(value: int) -> None:
    """A max_concurrent outside 1..10 is refused even where parallel=false makes it idle."""
    expected = [("options.max_concurrent", "MAX_CONCURRENT_OUT_OF_RANGE")]
    for parallel in (True, False):
        options = BatchOptions(parallel=parallel, max_concurrent=value)
        assert faults(VideoSpec(url=URL), options=options) == expected


def test_duplicate_custom_ids_are_all_named() -> None:
    """Each video that shares its custom_id is named; empty ones may repeat."""
    videos = [VideoSpec(url=URL, custom_id=key) for key in ("a", "b", "a", "", "")]
    assert faults(*videos) == [
        ("videos[0].custom_id", "CUSTOM_ID_DUPLICATE"),
        ("videos[2].custom_id", "CUSTOM_ID_DUPLICATE"),
    ]


def test_unknown_models_are_refused_by_name() -> None:
    """An unknown model is refused with the names that can be used."""
    with pytest.raises(InvalidRequest, match=r"use one of base, tiny\.en"):
        check(VideoSpec(url=URL, model="huge"))


@pytest.mark.parametrize(
    "video",
    [
        VideoSpec(language="pt"),
        VideoSpec(options=TranscribeOptions(task=TRANSCRIBE_TASK_TRANSLATE)),
    ],
)
def test_english_only_models_know_english_only(video: VideoSpec) -> None:
    """An English-only model is refused for another language and for translation."""
    video.MergeFrom(VideoSpec(url=URL, model="tiny.en"))
    assert faults(video) == [("videos[0].model", "MODEL_ENGLISH_ONLY")]


@pytest.mark.parametrize(
    ("options", "path", "reason"),
    [
        (TranscribeOptions(task=cast(Any, 9)), "task", "TASK_UNKNOWN"),
        (TranscribeOptions(beam_size=0), "beam_size", "BEAM_SIZE_OUT_OF_RANGE"),
        (TranscribeOptions(beam_size=11), "beam_size", "BEAM_SIZE_OUT_OF_RANGE"),
        (TranscribeOptions(clip=_clip(start=-1)), "clip.start_offset", "DURATION_OUT_OF_RANGE"),
        (TranscribeOptions(clip=_clip(end=0)), "clip.end_offset", "DURATION_OUT_OF_RANGE"),
        (TranscribeOptions(clip=_clip(9, 9)), "clip.end_offset", "DURATION_OUT_OF_RANGE"),
        (TranscribeOptions(clip=_clip(9, 10**9)), "clip.end_offset", "DURATION_OUT_OF_RANGE"),
        (
            TranscribeOptions(min_language_confidence=1.5),
            "min_language_confidence",
            "PROBABILITY_OUT_OF_RANGE",
        ),
        (TranscribeOptions(initial_prompt="x" * 1001), "initial_prompt", "TEXT_TOO_LONG"),
        (TranscribeOptions(hotwords=["x"] * 51), "hotwords", "HOTWORDS_TOO_MANY"),
        (TranscribeOptions(hotwords=["x", "y" * 65]), "hotwords[1]", "TEXT_TOO_LONG"),
    ],
)
def test_options_have_limits(options: TranscribeOptions, path: str, reason: str) -> None:
    """An option out of range is refused where it was given: on the video or on the batch."""
    batch_options = BatchOptions(defaults=options)
    assert faults(VideoSpec(url=URL, options=options)) == [(f"videos[0].options.{path}", reason)]
    assert faults(VideoSpec(url=URL), options=batch_options) == [
        (f"options.defaults.{path}", reason)
    ]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"request_id": "42"}, ("request_id", "REQUEST_ID_MALFORMED")),
        (
            {"request_id": str(uuid.uuid5(uuid.NAMESPACE_URL, URL))},
            ("request_id", "REQUEST_ID_MALFORMED"),
        ),
        ({"display_name": "x" * 64}, ("display_name", "TEXT_TOO_LONG")),
        (
            {"annotations": {str(number): "" for number in range(17)}},
            ("annotations", "ANNOTATIONS_TOO_MANY"),
        ),
        ({"annotations": {"": ""}}, ('annotations[""]', "KEY_LENGTH_OUT_OF_RANGE")),
        ({"annotations": {"k": "v" * 513}}, ('annotations["k"]', "TEXT_TOO_LONG")),
    ],
)
def test_request_fields_have_limits(fields: dict[str, object], fault: tuple[str, str]) -> None:
    """Request id, name and annotations are refused beyond their limits."""
    assert faults(VideoSpec(url=URL), **fields) == [fault]


def test_retry_policies_have_limits() -> None:
    """Attempts and both back-offs are refused beyond their limits, each by its field."""
    policy = RetryPolicy(
        max_attempts=11, initial_backoff=_span(3601), max_backoff=_span(seconds=-1)
    )
    path = "options.retry_policy"
    assert faults(VideoSpec(url=URL), options=BatchOptions(retry_policy=policy)) == [
        (f"{path}.max_attempts", "MAX_ATTEMPTS_OUT_OF_RANGE"),
        (f"{path}.initial_backoff", "DURATION_OUT_OF_RANGE"),
        (f"{path}.max_backoff", "DURATION_OUT_OF_RANGE"),
    ]


@pytest.mark.parametrize(
    ("span", "sentence"),
    [
        (_span(59), "59 s is not in 60 s to 31536000 s."),
        (_span(0, nanos=500_000_000), "0.5 s is not in 60 s to 31536000 s."),
        (_span(31_536_000, nanos=500_000_000), "31536000.5 s is not in 60 s to 31536000 s."),
    ],
)
def test_a_refused_duration_is_named_as_it_is(span: Duration, sentence: str) -> None:
    """The sentence has the whole duration, parts of seconds included, and what would do."""
    with pytest.raises(InvalidRequest) as caught:
        check(VideoSpec(url=URL), ttl=span)
    (found,) = caught.value.violations
    assert (found.field, found.description) == ("ttl", sentence)


def test_the_longest_attempt_has_a_limit() -> None:
    """An attempt may take a second to half a day."""
    for seconds in (0.5, 43_201):
        options = BatchOptions(item_timeout=_span(int(seconds), nanos=int(seconds % 1 * 10**9)))
        expected = [("options.item_timeout", "DURATION_OUT_OF_RANGE")]
        assert faults(VideoSpec(url=URL), options=options) == expected


def test_all_violations_come_together() -> None:
    """One answer names everything that is wrong, across fields and videos."""
    found = faults(
        VideoSpec(url="ftp://x", language="xx"),
        VideoSpec(url=URL),
        VideoSpec(url="", model="huge"),
        request_id="no",
        options=BatchOptions(max_concurrent=99),
    )
    assert [path for path, _ in found] == [
        "request_id",
        "options.max_concurrent",
        "videos[0].url",
        "videos[0].language",
        "videos[2].url",
        "videos[2].model",
    ]


def test_violations_fit_into_an_answer() -> None:
    """However much is wrong, the list stays within what trailers can carry."""
    limits = Limits(max_videos=500, default_model="base")
    with pytest.raises(InvalidRequest) as caught:
        check(*[VideoSpec(url="x", language="klingon")] * 500, limits=limits)
    found = caught.value.violations
    assert 10 < len(found) <= 100
    assert sum(len(one.description) for one in found) <= MAX_VIOLATIONS_LENGTH


def test_the_body_ignores_what_may_differ_between_retries() -> None:
    """Two sendings share a canonical body whatever their request id or map order."""
    first = CreateBatchRequest(
        videos=[VideoSpec(url=URL)], request_id="a", annotations={"x": "1", "y": "2"}
    )
    again = CreateBatchRequest(
        videos=[VideoSpec(url=URL)], validate_only=True, annotations={"y": "2", "x": "1"}
    )
    other = CreateBatchRequest(videos=[VideoSpec(url=URL + "?v=2")])
    assert canonical_body(first) == canonical_body(again)
    assert canonical_body(first) != canonical_body(other)
    assert first.request_id == "a"
