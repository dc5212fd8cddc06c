"""Which language a file is in: given and checked, or heard in its first windows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from batchscribe.v1 import batch_pb2

from transcriber.engine.decoding import Languages
from transcriber.engine.rows import Model
from transcriber.failures import VideoFailure

AUTO = "auto"
ENGLISH = "en"


@dataclass(frozen=True)
class Language:
    """``code`` is empty where nobody speaks; ``probability`` is unset if the code was given."""

    code: str
    probability: float | None = None


def check(asked: str, translate: bool, model: Model) -> str:
    """Return the language to use or AUTO. Raises VideoFailure LANGUAGE_NOT_SUPPORTED."""
    if model.multilingual:
        supported = asked == AUTO or _knows(model, asked)
    else:
        supported = asked in (AUTO, ENGLISH) and not translate
    if not supported:
        raise VideoFailure("LANGUAGE_NOT_SUPPORTED", model=model.name, language=asked)
    return asked if model.multilingual else ENGLISH


def _knows(model: Model, code: str) -> bool:
    # Of the multilingual models only large-v3 and what was made from it have a token for Cantonese.
    token = model.whisper.hf_tokenizer.token_to_id(f"<|{code}|>")
    return token is not None and code in model.whisper.supported_languages


def assumed_english(model: Model) -> batch_pb2.ItemWarning:
    return batch_pb2.ItemWarning(
        reason="ENGLISH_ASSUMED",
        message=f"The model {model.name} knows English only: English was assumed.",
    )


def choose(heard: Sequence[Languages]) -> Language:
    """Return the language that is likeliest over all of ``heard``, with its mean probability."""
    total: Counter[str] = Counter()
    for probabilities in heard:
        total.update(probabilities)
    code, summed = total.most_common(1)[0]
    return Language(code, summed / len(heard))


def require(language: Language, least: float) -> None:
    """Raise VideoFailure LANGUAGE_UNCERTAIN if ``language`` is less likely than ``least``."""
    if language.probability is not None and language.probability < least:
        probability = f"{language.probability:.2f}"
        raise VideoFailure("LANGUAGE_UNCERTAIN", language=language.code, probability=probability)
