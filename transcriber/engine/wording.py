"""How a file's windows are asked for: the prompt in tokens, and what batches have to agree in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from batchscribe.v1 import batch_pb2
from faster_whisper.tokenizer import Tokenizer

from transcriber.engine.rows import Decoding, Features, Model, Row


@dataclass(frozen=True)
class Wording:
    """The same for all windows of a file: its start is no better context than any other part."""

    tokenizer: Tokenizer
    prompt: tuple[int, ...]
    decoding: Decoding

    def row(self, features: Features, *, full_axis: bool = False) -> Row:
        ask = replace(self.decoding, full_axis=full_axis)
        return Row(ask, features, self.tokenizer, self.prompt)

    def text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens))).strip()


def wording(model: Model, options: batch_pb2.TranscribeOptions, language: str) -> Wording:
    translate = options.task == batch_pb2.TRANSCRIBE_TASK_TRANSLATE
    tokenizer = tokenizer_for(model, language, translate)
    context = options.initial_prompt.strip()
    prompt = model.whisper.get_prompt(
        tokenizer,
        tokenizer.encode(f" {context}") if context else [],
        hotwords=", ".join(options.hotwords) or None,
    )
    words = tuple(tokenizer.sot_sequence) if options.word_timestamps else ()
    decoding = Decoding(model, options.beam_size, len(prompt), words)
    return Wording(tokenizer, tuple(prompt), decoding)


def tokenizer_for(model: Model, language: str, translate: bool) -> Tokenizer:
    return Tokenizer(
        model.whisper.hf_tokenizer,
        model.multilingual,
        task="translate" if translate else "transcribe",
        language=language,
    )
