"""``make bench-long``: what a recording of ten hours costs, and how soon it lets go when cancelled.

Every minute of it is the same: some speech, then the noise of a quiet room. Memory is what a child
has beyond what it had with the model in memory and nothing to do.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from numpy.typing import NDArray

from bench import processes
from bench.engine_corpus import recordings
from tests.e2e.transcriber import MODEL, Transcriber, request, running_transcriber
from tests.media import RATE, Answer, media_server
from tests.support import wait_until

_MINUTE = 60 * RATE
_NOISE = 4  # In steps of 16 bits.
_BIT_RATE = 32_000
_CALL_SECONDS = 3600.0

GOAL_MEMORY_MIB = 1.5 * 1024
GOAL_CANCEL_SECONDS = 5.0

Reached = Callable[[contract.TaskStatus], bool]

# Where to cancel: the stage that a task has reached, as its status shows.
POINTS: dict[str, Reached] = {
    "decoding": lambda task: task.HasField("audio_duration"),
    "listening": lambda task: task.stage == contract.TASK_STAGE_TRANSCRIBING,
    "transcribing": lambda task: task.audio_processed.seconds > 0,
}


def minute(speech_seconds: float) -> NDArray[np.int16]:
    """Return a minute that begins with speech: int16[n], mono, 16 kHz."""
    speech = np.concatenate([one.samples for one in recordings(None)])
    samples = np.random.default_rng(1).integers(-_NOISE, _NOISE, _MINUTE).astype(np.int16)
    spoken = speech[: int(speech_seconds * RATE)]
    samples[: len(spoken)] += spoken
    return samples


def mp3(samples: NDArray[np.int16]) -> bytes:
    """Return a stream of MP3 frames and nothing else: copies of it make one longer recording."""
    file = BytesIO()
    with av.open(file, "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as out:
        stream = out.add_stream("mp3", rate=RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = _BIT_RATE
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def ask(
    service: Transcriber, url: str, task_id: str
) -> "asyncio.Task[contract.TranscribeResponse]":
    async def call() -> contract.TranscribeResponse:
        return await service.stub.Transcribe(request(url, task_id), timeout=_CALL_SECONDS)

    return asyncio.create_task(call())


async def cancel_seconds(service: Transcriber, url: str, point: str) -> float:
    """Return how long after a cancel the media of a task is gone, and its work with it."""
    asked = ask(service, url, point)

    def is_reached() -> bool:
        tasks = [task for task in service.status.tasks if task.task_id == point]
        return any(POINTS[point](task) for task in tasks)

    await wait_until(is_reached, _CALL_SECONDS)
    return await _cancelled(service, asked, point)


async def cancel_fetching_seconds(service: Transcriber, url: str) -> float:
    """The same for a download from a site that hardly sends anything."""
    asked = ask(service, url, "fetching")
    await wait_until(lambda: any(folder.glob("*") for folder in service.left_over()))
    return await _cancelled(service, asked, "fetching")


async def _cancelled(
    service: Transcriber, asked: "asyncio.Task[contract.TranscribeResponse]", task_id: str
) -> float:
    begun = time.perf_counter()
    await service.stub.CancelTask(contract.CancelTaskRequest(task_id=task_id, epoch=1))
    await asyncio.wait([asked])
    assert asked.exception(), "The task ended before it was cancelled."
    await wait_until(lambda: not service.left_over(), 60)
    return time.perf_counter() - begun


@dataclass(frozen=True)
class Measured:
    """MiB of each child, idle and at most; seconds that a cancel took at each point."""

    idle: dict[str, float]
    peak: dict[str, float]
    waits: dict[str, float]


async def measure(hours: float, speech_seconds: float) -> Measured:
    with tempfile.TemporaryDirectory() as folder, media_server() as media:
        recording = mp3(minute(speech_seconds)) * round(hours * 60)
        url = media.serve("long.mp3", Answer(recording, "audio/mpeg"))
        slow = media.serve("slow.mp3", Answer(content_type="audio/mpeg", drip=True))
        async with running_transcriber(Path(folder)) as service:
            idle = _memory(service, processes.resident_mib)
            await transcribe(service, url)
            peak = _memory(service, processes.peak_mib)
            waits = {"fetching": await cancel_fetching_seconds(service, slow)}
            for point in POINTS:
                waits[point] = await cancel_seconds(service, url, point)
    return Measured(idle, peak, waits)


def report(hours: float, measured: Measured) -> bool:
    """Print the figures; tell whether the goals were reached."""
    for point, wait in measured.waits.items():
        print(f"cancelled while {point}: gone after {wait:.2f} s")
    for name, idle in measured.idle.items():
        print(f"{name}: {measured.peak[name]:.0f} MiB at most, {idle:.0f} MiB when idle")
    worst = max(measured.waits.values())
    most = max(measured.peak[name] - idle for name, idle in measured.idle.items())
    print(f"bench-long: hours={hours:g} memory_mib={most:.0f} cancel_s={worst:.2f}")
    return worst <= GOAL_CANCEL_SECONDS and most <= GOAL_MEMORY_MIB


async def transcribe(service: Transcriber, url: str) -> None:
    begun = time.perf_counter()
    answer = await ask(service, url, "whole")
    assert answer.WhichOneof("outcome") == "transcript", answer.error.message
    said = len(answer.transcript.segments)
    audio = answer.transcript.duration.seconds
    print(f"{audio} s of audio in {time.perf_counter() - begun:.0f} s: {said} segments", flush=True)


def _memory(service: Transcriber, measure: Callable[[int], float]) -> dict[str, float]:
    return {name: measure(pid) for name, pid in service.children().items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--speech-seconds", type=float, default=6, help="in each minute")
    chosen = parser.parse_args()
    is_met = report(chosen.hours, asyncio.run(measure(chosen.hours, chosen.speech_seconds)))
    raise SystemExit(0 if is_met else f"{MODEL}: a goal was missed.")


if __name__ == "__main__":
    main()
