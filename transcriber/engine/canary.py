"""A clip of clear speech in which a model has to hear something before it is lent.

Where the driver does not fit the kernels, some GPUs answer with nothing and no error. Which words
come out is not judged: a model may be made for another language than the clip's English.
"""

from pathlib import Path

from batchscribe.v1 import batch_pb2
from faster_whisper import decode_audio

from transcriber import models
from transcriber.engine import languages
from transcriber.engine.decoding import Decoded, Model, run
from transcriber.engine.wording import wording

_CLIP = Path(__file__).with_name("canary.ogg")
_UNSURE = -1.5


def listen(model: Model) -> str:
    """Return what ``model`` hears in the clip. Raises VideoFailure MODEL_UNAVAILABLE if nothing."""
    features = model.whisper.feature_extractor(decode_audio(str(_CLIP)))[..., :-1]
    asking = wording(model, batch_pb2.TranscribeOptions(beam_size=1), languages.ENGLISH)
    (heard,) = run([asking.row(features)])
    assert isinstance(heard, Decoded)
    # What is no number is not above either.
    if heard.text and heard.avg_logprob > _UNSURE:
        return heard.text
    raise models.unavailable(model.name, "it hears nothing in clear speech on this device.")
