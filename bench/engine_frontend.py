"""``make bench-frontend``: what comes before the model, in time of one core for a second of audio.

Decoding a file of each kind, finding its speech, and the features of all its windows.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.vad import get_vad_model

from bench.engine_corpus import Video, corpora, recordings
from tests.media import CONTAINERS, decode, encode
from transcriber.clips import Part
from transcriber.engine.listening import Listener
from transcriber.fetch.decode import MediaFile

GOAL_MS = 8.0
_WINDOW_SECONDS = 20

ResultT = TypeVar("ResultT")


def timed(work: Callable[[], ResultT]) -> tuple[float, ResultT]:
    """Return the seconds of CPU that ``work`` took, and what it returned."""
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def measure(speech_dir: Path | None, folder: Path) -> Mapping[str, float]:
    """Return the milliseconds for each step; decoding is that of the dearest kind of file."""
    video = corpora(recordings(speech_dir), folder)["long"][0]
    samples_path = folder / "samples"
    decoding = max(_decoding(video, kind, samples_path) for kind in CONTAINERS)
    listener = Listener(samples_path, vad_filter=True, window_seconds=_WINDOW_SECONDS)
    get_vad_model()  # Loaded once for all files.
    listening, windows = timed(lambda: list(listener.windows()))
    extractor = FeatureExtractor()
    mel, _ = timed(lambda: [listener.features(window, extractor) for window in windows])
    seconds = {"decode": decoding, "vad": listening, "mel": mel}
    return {step: 1000 * cost / video.seconds for step, cost in seconds.items()}


def _decoding(video: Video, kind: str, samples_path: Path) -> float:
    media = samples_path.with_suffix(f".{kind}")
    media.write_bytes(encode(decode(video.path), kind))
    with MediaFile(media) as file:
        seconds, _ = timed(
            lambda: file.decode(samples_path, Part(), video.seconds * 2, lambda: None)
        )
    print(f"decode {kind:4} {1000 * seconds / video.seconds:5.2f} ms")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech-dir", type=Path, help="recorded speech with references.json")
    with tempfile.TemporaryDirectory() as scratch:
        costs = measure(parser.parse_args().speech_dir, Path(scratch))
    total = sum(costs.values())
    print(f"goal={'met' if total < GOAL_MS else 'missed'}")
    parts = " ".join(f"{step}_ms={cost:.2f}" for step, cost in costs.items())
    print(f"bench-frontend: {parts} ms={total:.2f}")


if __name__ == "__main__":
    main()
