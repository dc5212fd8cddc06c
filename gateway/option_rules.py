"""Which options of a video can be accepted. Pure, like the rest of validation."""

from collections.abc import Iterator, Sequence

from batchscribe.v1.batch_pb2 import Clip, TranscribeOptions, TranscribeTask
from google.protobuf.duration_pb2 import Duration

from gateway.errors import Violation

MAX_PROMPT_LENGTH = 1000
MAX_HOTWORDS = 50
MAX_HOTWORD_LENGTH = 64
MAX_BEAM_SIZE = 10
# Beyond any recording; keeps absurd durations out.
MAX_CLIP_SECONDS = 7 * 24 * 3600


def check_options(path: str, options: TranscribeOptions) -> Iterator[Violation]:
    """Yield what is wrong with the options at ``path``."""
    if options.task not in TranscribeTask.values():
        yield Violation(
            f"{path}.task",
            "TASK_UNKNOWN",
            f"{options.task} is no task; use TRANSCRIBE or TRANSLATE.",
        )
    if options.HasField("beam_size") and not 1 <= options.beam_size <= MAX_BEAM_SIZE:
        yield Violation(
            f"{path}.beam_size",
            "BEAM_SIZE_OUT_OF_RANGE",
            f"{options.beam_size} is not in 1 to {MAX_BEAM_SIZE}.",
        )
    yield from check_length(f"{path}.initial_prompt", options.initial_prompt, MAX_PROMPT_LENGTH)
    yield from _check_hotwords(f"{path}.hotwords", options.hotwords)
    if options.HasField("clip"):
        yield from _check_clip(f"{path}.clip", options.clip)
    if not 0 <= options.min_language_confidence <= 1:
        yield Violation(
            f"{path}.min_language_confidence",
            "PROBABILITY_OUT_OF_RANGE",
            f"{options.min_language_confidence:g} is not in 0 to 1.",
        )


def _check_clip(path: str, clip: Clip) -> Iterator[Violation]:
    start, end = seconds_of(clip.start_offset), seconds_of(clip.end_offset)
    if not 0 <= start <= MAX_CLIP_SECONDS:
        yield Violation(
            f"{path}.start_offset",
            "DURATION_OUT_OF_RANGE",
            f"{start:.10g} s is not in 0 s to {MAX_CLIP_SECONDS} s.",
        )
    elif clip.HasField("end_offset") and not start < end <= MAX_CLIP_SECONDS:
        yield Violation(
            f"{path}.end_offset",
            "DURATION_OUT_OF_RANGE",
            f"{end:.10g} s is not after {start:.10g} s and at most {MAX_CLIP_SECONDS} s.",
        )


def _check_hotwords(path: str, hotwords: Sequence[str]) -> Iterator[Violation]:
    if len(hotwords) > MAX_HOTWORDS:
        yield Violation(
            path,
            "HOTWORDS_TOO_MANY",
            f"{len(hotwords)} words were given; at most {MAX_HOTWORDS} are allowed.",
        )
    for index, word in enumerate(hotwords[:MAX_HOTWORDS]):
        yield from check_length(f"{path}[{index}]", word, MAX_HOTWORD_LENGTH)


def check_length(path: str, text: str, longest: int) -> Iterator[Violation]:
    """Yield a violation if ``text`` is longer than ``longest`` characters."""
    if len(text) > longest:
        yield Violation(
            path,
            "TEXT_TOO_LONG",
            f"{len(text)} characters were given; at most {longest} are allowed.",
        )


def seconds_of(span: Duration) -> float:
    """Return the length of a span, which may be longer than Python's own can be."""
    return span.seconds + span.nanos / 1e9
