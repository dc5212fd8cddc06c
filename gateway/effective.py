"""What a request means once every default is filled in.

Pure. Unset fields take the server's defaults, a video's own options lie over those of its batch.
"""

from batchscribe.v1.batch_pb2 import (
    TRANSCRIBE_TASK_TRANSCRIBE,
    BatchOptions,
    TranscribeOptions,
    VideoSpec,
)

from gateway.languages import AUTO, whisper_code

DEFAULT_BEAM_SIZE = 5


def resolve_options(options: BatchOptions, default_max_concurrent: int) -> BatchOptions:
    """Return the batch options in effect, no field left to a default."""
    parallel = options.parallel if options.HasField("parallel") else True
    asked = options.max_concurrent or default_max_concurrent
    go_on = options.continue_on_error if options.HasField("continue_on_error") else True
    effective = BatchOptions()
    effective.CopyFrom(options)
    effective.parallel = parallel
    effective.max_concurrent = asked if parallel else 1
    effective.continue_on_error = go_on
    effective.defaults.CopyFrom(_overlaid(_plain_options(), options.defaults))
    return effective


def resolve_video(video: VideoSpec, defaults: TranscribeOptions, default_model: str) -> VideoSpec:
    """Return ``video`` with its language code, its model and its options over ``defaults``.

    A language that ``language_code`` does not know comes back empty.
    """
    return VideoSpec(
        url=video.url,
        language=language_code(video.language) or "",
        model=video.model or default_model,
        custom_id=video.custom_id,
        options=_overlaid(defaults, video.options),
    )


def language_code(language: str) -> str | None:
    """Return Whisper's code for what a user wrote, "auto" for nothing, None if it is unknown."""
    return AUTO if language.lower() in ("", AUTO) else whisper_code(language)


def _plain_options() -> TranscribeOptions:
    return TranscribeOptions(
        task=TRANSCRIBE_TASK_TRANSCRIBE,
        word_timestamps=False,
        vad_filter=True,
        beam_size=DEFAULT_BEAM_SIZE,
        min_language_confidence=0,
    )


def _overlaid(under: TranscribeOptions, over: TranscribeOptions) -> TranscribeOptions:
    merged = TranscribeOptions()
    merged.CopyFrom(under)
    # MergeFrom would append the one and mix the other.
    if over.hotwords:
        merged.ClearField("hotwords")
    if over.HasField("clip"):
        merged.ClearField("clip")
    merged.MergeFrom(over)
    return merged
