"""A clip of clear speech in which a model has to hear something before it is lent.

Where the driver does not fit the kernels, some GPUs answer with nothing and no error. Which words
come out is not judged: a model may be made for another language than the clip's English.
"""

from pathlib import Path

from batchscribe.v1 import batch_pb2
from faster_whisper import WhisperModel, decode_audio

from transcriber import models
from transcriber.engine import languages
from transcriber.engine.decoding import Decoded, run
from transcriber.engine.rows import Features, Model
from transcriber.engine.wording import wording

_CLIP = Path(__file__).with_name("canary.ogg")
_UNSURE = -1.5


def clip(whisper: WhisperModel) -> Features:
    """Return the clip as ``whisper`` takes it: float32[mels, frames]."""
    features: Features = whisper.feature_extractor(decode_audio(str(_CLIP)))[..., :-1]
    return features


def listen(model: Model, speech: Features) -> str:
    """Return what ``model`` hears in ``speech``, the clip.

    Raises VideoFailure MODEL_UNAVAILABLE if that is nothing.
    """
    asking = wording(model, batch_pb2.TranscribeOptions(beam_size=1), languages.ENGLISH)
    (heard,) = run([asking.row(speech)])
    assert isinstance(heard, Decoded)
    # What is no number is not above either.
    if heard.text and heard.avg_logprob > _UNSURE:
        return heard.text
    raise models.unavailable(model.name, "it hears nothing in clear speech on this device.")
