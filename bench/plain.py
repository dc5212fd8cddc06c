"""The plain script beside the product: fetch, decode and transcribe, with the model in memory.

Reads addresses as lines of JSON and answers each with the text it heard.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import yt_dlp
from faster_whisper import WhisperModel

from transcriber import models

_QUIET = {"format": "ba/b", "quiet": True, "noprogress": True, "cachedir": False}


def transcribe(whisper: WhisperModel, url: str) -> str:
    """Return what is said in the media file at ``url``, with the options the product uses."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder, "media")
        with yt_dlp.YoutubeDL({**_QUIET, "outtmpl": str(path)}) as fetcher:
            fetcher.extract_info(url, download=True)
        segments, _ = whisper.transcribe(
            str(path), language="en", vad_filter=True, condition_on_previous_text=False
        )
        return " ".join(segment.text.strip() for segment in segments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--model-dir", type=Path, required=True)
    chosen = parser.parse_args()
    whisper = WhisperModel(
        str(models.find(chosen.model, chosen.model_dir)),
        device="cpu",
        compute_type="int8",
        cpu_threads=min(len(os.sched_getaffinity(0)), 4),
    )
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(transcribe(whisper, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
