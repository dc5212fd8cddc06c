"""``make bench-engine``: our transcriber beside faster-whisper, on the same files.

The real service over gRPC, several files at once, and both ways of faster-whisper take turns: same
model, number format, beam and files. Fetching over HTTP is in our time and not in theirs.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from bench import processes
from bench.engine_baseline import BEAM_SIZE, KINDS
from bench.engine_corpus import LANGUAGE, Video, corpora, recordings
from bench.engine_score import Score, score
from tests.e2e.transcriber import Transcriber, request, running_transcriber
from tests.media import Answer, MediaServer, media_server

SLOTS = 16
OURS = "batchscribe"
_PLAIN, _BATCHED = KINDS
_CALL_SECONDS = 600.0

# The least ratios of speed, and the most points of WER beyond plain faster-whisper.
GOALS = {"long": (1.25, 2.2), "short": (4.0, 4.0), "mix": (2.0, 0.0)}
MOST_WER_DELTA = 0.3

Engine = Callable[[Sequence[Video]], Awaitable[list[str]]]
Scores = Mapping[str, Mapping[str, Score]]


@asynccontextmanager
async def ours(model: str, folder: Path, media: MediaServer) -> AsyncIterator[Engine]:
    """Run the service; the engine asks for all files at once, as far as it has slots."""
    async with running_transcriber(
        folder / "service", models=model, slots=SLOTS, model_dir=folder / "models"
    ) as service:
        slots = asyncio.Semaphore(SLOTS)

        async def one(video: Video) -> str:
            url = media.serve(video.path.name, Answer(video.path.read_bytes(), "audio/wav"))
            async with slots:
                return await _text(service, url, model)

        async def transcribe(videos: Sequence[Video]) -> list[str]:
            return await asyncio.gather(*map(one, videos))

        yield transcribe
        print(f"{OURS}: peak memory {_peak_mib(service):.0f} MiB (all its processes)")


async def _text(service: Transcriber, url: str, model: str) -> str:
    task_id = f"{url} {time.monotonic_ns()}"
    asked = request(url, task_id, model=model, language=LANGUAGE, beam_size=BEAM_SIZE)
    answer = await service.stub.Transcribe(asked, timeout=_CALL_SECONDS)
    assert answer.WhichOneof("outcome") == "transcript", answer.error.message
    return answer.transcript.text


@asynccontextmanager
async def theirs(kind: str, model: str, folder: Path) -> AsyncIterator[Engine]:
    """Run one of faster-whisper's ways; the engine hands it the paths."""
    command = ("-m", "bench.engine_baseline", kind, "--model", model)
    async with processes.started(*command, "--model-dir", str(folder / "models")) as baseline:

        async def transcribe(videos: Sequence[Video]) -> list[str]:
            await baseline.tell([str(video.path) for video in videos])
            texts: list[str] = await baseline.hear()
            return texts

        yield transcribe
        print(f"{kind}: peak memory {baseline.peak_mib:.0f} MiB")


def _peak_mib(service: Transcriber) -> float:
    processes_of = [service.process.pid, *service.children().values()]
    return sum(processes.peak_mib(pid) for pid in processes_of)


async def measure(model: str, rounds: int, speech_dir: Path | None) -> Scores:
    """Return the fastest round of each engine by kind of files, and print it."""
    with tempfile.TemporaryDirectory() as scratch, media_server() as media:
        folder = Path(scratch)
        sets = corpora(recordings(speech_dir), folder)
        async with AsyncExitStack() as stack:
            engines = {OURS: await stack.enter_async_context(ours(model, folder, media))}
            for kind in KINDS:
                engines[kind] = await stack.enter_async_context(theirs(kind, model, folder))
            for engine in engines.values():
                await engine(sets["short"][:1])
            scores = {}
            for name, videos in sets.items():
                scores[name] = await _in_turns(engines, videos, rounds)
                for engine_name, one in scores[name].items():
                    print(f"{model:8} {name:5} {engine_name:11} {one}", flush=True)
            return scores


async def _in_turns(
    engines: Mapping[str, Engine], videos: Sequence[Video], rounds: int
) -> Mapping[str, Score]:
    best: dict[str, Score] = {}
    for _ in range(rounds):
        for name, engine in engines.items():
            begun = time.perf_counter()
            texts = await engine(videos)
            one = score(videos, texts, time.perf_counter() - begun)
            best[name] = max(one, best.get(name, one), key=lambda score: score.rtfx)
    return best


def is_met(scores: Scores) -> bool:
    """Tell whether the goals of speed, accuracy and completeness are all reached."""
    for name, (beyond_batched, beyond_plain) in GOALS.items():
        mine, plain, batched = (scores[name][engine] for engine in (OURS, _PLAIN, _BATCHED))
        fast = mine.rtfx >= max(beyond_batched * batched.rtfx, beyond_plain * plain.rtfx)
        good = mine.wer <= plain.wer + MOST_WER_DELTA and mine.deletions <= plain.deletions
        if not (fast and good):
            return False
    return True


def summary(scores: Scores) -> str:
    ratios = {
        name: by_engine[OURS].rtfx / by_engine[_BATCHED].rtfx for name, by_engine in scores.items()
    }
    delta = max(by_engine[OURS].wer - by_engine[_PLAIN].wer for by_engine in scores.values())
    xs = " ".join(f"{name}_x={ratio:.2f}" for name, ratio in ratios.items())
    return f"bench-engine: {xs} wer_delta={delta:+.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--speech-dir", type=Path, help="recorded speech with references.json")
    chosen = parser.parse_args()
    scores = asyncio.run(measure(chosen.model, chosen.rounds, chosen.speech_dir))
    judged = "not-judged" if chosen.speech_dir is None else ("met" if is_met(scores) else "missed")
    print(f"goals={judged}")
    print(summary(scores))


if __name__ == "__main__":
    main()
