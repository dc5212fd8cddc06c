"""faster-whisper as its users run it, in a process of its own: one file after another.

A line of JSON with paths comes in, a line with their texts goes out.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from faster_whisper import BatchedInferencePipeline, WhisperModel

from bench.engine_corpus import LANGUAGE
from transcriber import models

BEAM_SIZE = 5
BATCH_SIZE = 8

Transcribe = Callable[[str], str]


def plain(model: WhisperModel) -> Transcribe:
    def transcribe(path: str) -> str:
        segments, _ = model.transcribe(
            path, language=LANGUAGE, beam_size=BEAM_SIZE, vad_filter=True
        )
        return " ".join(segment.text for segment in segments)

    return transcribe


def batched(model: WhisperModel) -> Transcribe:
    pipeline = BatchedInferencePipeline(model)

    def transcribe(path: str) -> str:
        segments, _ = pipeline.transcribe(
            path, language=LANGUAGE, beam_size=BEAM_SIZE, batch_size=BATCH_SIZE
        )
        return " ".join(segment.text for segment in segments)

    return transcribe


KINDS = {"transcribe": plain, "batched": batched}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--model", required=True)
    parser.add_argument("--model-dir", type=Path, required=True)
    chosen = parser.parse_args()
    directory = models.find(chosen.model, chosen.model_dir)
    transcribe = KINDS[chosen.kind](WhisperModel(str(directory), device="cpu", compute_type="int8"))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps([transcribe(path) for path in json.loads(line)]), flush=True)


if __name__ == "__main__":
    main()
