"""Speech to text with faster-whisper on CTranslate2, span by span.

The port of the engine is ``Recognizer.transcribe``: samples and options in, segments with times
of the whole file out. The language is found once, on the first span with speech, and then kept.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.v1 import batch_pb2, transcript_pb2
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment as WhisperSegment
from faster_whisper.transcribe import Word as WhisperWord
from faster_whisper.transcribe import restore_speech_timestamps
from faster_whisper.vad import VadOptions, get_speech_timestamps

from transcriber.engine.spans import SAMPLE_RATE, Samples, Span
from transcriber.failures import VideoFailure

AUTO = "auto"
ENGLISH = "en"
_SHORTEST_SECONDS = 0.5  # Word times fail on pieces of a few milliseconds: pad with silence.


@dataclass(frozen=True)
class Model:
    """A model in memory."""

    name: str
    sha256: str
    whisper: WhisperModel

    @property
    def multilingual(self) -> bool:
        return bool(self.whisper.model.is_multilingual)


class Recognizer:
    """One file's worth of work on one model."""

    def __init__(self, model: Model, job: child_pb2.TranscribeJob) -> None:
        """Raises VideoFailure LANGUAGE_NOT_SUPPORTED."""
        self._model = model
        self._options = job.options
        self.warnings: list[batch_pb2.ItemWarning] = []
        self.language = self._checked_language(job.language)
        self.language_probability: float | None = None

    def transcribe(self, span: Span) -> Iterator[transcript_pb2.Segment]:
        """Yield the segments of ``span`` in order, as the model finds them."""
        speech = self._speech(span.samples)
        if speech == []:
            return
        samples = span.samples if speech is None else _only(span.samples, speech)
        segments = self._recognize(_padded(samples))
        if speech is not None:
            segments = restore_speech_timestamps(segments, speech, SAMPLE_RATE)
        for segment in segments:
            yield _segment(segment, span)

    def _speech(self, samples: Samples) -> list[dict[str, int]] | None:
        """Return where speech is, in samples; None if all is to be taken."""
        if not self._options.vad_filter:
            return None
        return list(get_speech_timestamps(samples, VadOptions()))

    def _recognize(self, samples: Samples) -> Iterator[WhisperSegment]:
        words = self._options.word_timestamps
        segments, info = self._model.whisper.transcribe(samples, **self._parameters(words))
        if self.language == AUTO:
            self.language = info.language
            self.language_probability = info.language_probability
        if words:
            segments = _or_without_words(segments, lambda: self._without_words(samples))
        yield from segments

    def _without_words(self, samples: Samples) -> Iterator[WhisperSegment]:
        segments, _ = self._model.whisper.transcribe(samples, **self._parameters(words=False))
        yield from segments

    def _parameters(self, words: bool) -> dict[str, Any]:
        options = self._options
        translate = options.task == batch_pb2.TRANSCRIBE_TASK_TRANSLATE
        return {
            "language": None if self.language == AUTO else self.language,
            "task": "translate" if translate else "transcribe",
            "beam_size": options.beam_size,
            "word_timestamps": words,
            "initial_prompt": options.initial_prompt or None,
            "hotwords": ", ".join(options.hotwords) or None,
            # Text of one window in the prompt of the next makes a repetition spread.
            "condition_on_previous_text": False,
        }

    def _checked_language(self, language: str) -> str:
        translate = self._options.task == batch_pb2.TRANSCRIBE_TASK_TRANSLATE
        if self._model.multilingual:
            supported = language in (AUTO, *self._model.whisper.supported_languages)
        else:
            supported = language in (AUTO, ENGLISH) and not translate
        if not supported:
            raise VideoFailure("LANGUAGE_NOT_SUPPORTED", model=self._model.name, language=language)
        if self._model.multilingual or language != AUTO:
            return language
        self.warnings.append(
            batch_pb2.ItemWarning(
                reason="ENGLISH_ASSUMED",
                message=f"The model {self._model.name} knows English only: English was assumed.",
            )
        )
        return ENGLISH


def _only(samples: Samples, speech: list[dict[str, int]]) -> Samples:
    return np.concatenate([samples[part["start"] : part["end"]] for part in speech])


def _padded(samples: Samples) -> Samples:
    missing = int(_SHORTEST_SECONDS * SAMPLE_RATE) - len(samples)
    return np.pad(samples, (0, missing)) if missing > 0 else samples


def _or_without_words(
    segments: Iterable[WhisperSegment], again: Callable[[], Iterable[WhisperSegment]]
) -> Iterator[WhisperSegment]:
    """Go on without words where aligning them fails, as it does on a window of one frame."""
    reached = 0.0
    try:
        for segment in segments:
            reached = segment.end
            yield segment
    except IndexError:
        yield from (segment for segment in again() if segment.start >= reached)


def _segment(heard: WhisperSegment, span: Span) -> transcript_pb2.Segment:
    segment = transcript_pb2.Segment(
        text=heard.text.strip(),
        avg_logprob=heard.avg_logprob,
        no_speech_prob=heard.no_speech_prob,
        compression_ratio=heard.compression_ratio,
        words=[_word(word, span) for word in heard.words or ()],
    )
    segment.start_offset.FromMilliseconds(_milliseconds(heard.start, span))
    segment.end_offset.FromMilliseconds(_milliseconds(heard.end, span))
    return segment


def _word(heard: WhisperWord, span: Span) -> transcript_pb2.Word:
    word = transcript_pb2.Word(word=heard.word, probability=heard.probability)
    word.start_offset.FromMilliseconds(_milliseconds(heard.start, span))
    word.end_offset.FromMilliseconds(_milliseconds(heard.end, span))
    return word


def _milliseconds(seconds: float, span: Span) -> int:
    """Return the time in the whole file; the model counts on into its own padding."""
    return round(min(span.start_seconds + seconds, span.end_seconds) * 1000)
