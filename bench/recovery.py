"""``make bench-recovery``: the engine is killed at work, again and again, and its work goes on.

Work has resumed when another process has the model in memory and takes the tasks up; it has caught
up when a task is further than any was before. Meanwhile somebody asks for the health all the time.
"""

import argparse
import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.engine_corpus import recordings
from servicekit import tasks
from tests.e2e.transcriber import Transcriber, request, running_transcriber
from tests.media import RATE, Answer, encode, media_server
from tests.support import wait_until

SLOTS = 8
_ENGINE = "transcriber.engine"
_MINUTES = 1
_CALL_SECONDS = 600.0
_ASK_SECONDS = 0.02

GOAL_SECONDS = 5.0
GOAL_HEALTH_SECONDS = 1.0


@dataclass
class HealthLog:
    """How long each answer took, and how many were none or not SERVING."""

    seconds: list[float] = field(default_factory=list)
    bad: int = 0


@asynccontextmanager
async def asking_for_health(service: Transcriber) -> AsyncIterator[HealthLog]:
    """Ask for the health without a pause while the context is open."""
    stub: Any = health_pb2_grpc.HealthStub(service.channel)  # Its types lack the methods.
    log = HealthLog()

    async def ask() -> None:
        while True:
            begun = time.perf_counter()
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_CALL_SECONDS)
            log.seconds.append(time.perf_counter() - begun)
            log.bad += answer.status != health_pb2.HealthCheckResponse.SERVING
            await asyncio.sleep(_ASK_SECONDS)

    asking = asyncio.create_task(ask())
    try:
        yield log
    finally:
        await tasks.cancel([asking])


def speech() -> bytes:
    """Return some minutes of speech as a media file."""
    spoken = np.concatenate([one.samples for one in recordings(None)])
    times = -(-_MINUTES * 60 * RATE // len(spoken))
    return encode(np.tile(spoken, times), "mp3")


def done(service: Transcriber) -> dict[str, float]:
    """Return the seconds of audio that are done, by task."""
    return {
        task.task_id: task.audio_processed.ToMilliseconds() / 1000 for task in service.status.tasks
    }


@dataclass(frozen=True)
class Recovery:
    """Seconds from a kill until work had resumed and caught up; items that failed."""

    resumed: float
    caught_up: float
    failed: int = 0


async def kill(service: Transcriber) -> Recovery:
    """Kill the engine at work."""
    await wait_until(lambda: any(done(service).values()), _CALL_SECONDS)
    begun = time.perf_counter()
    os.kill(service.children()[_ENGINE], signal.SIGSEGV)

    def has_caught_up() -> bool:
        return any(seconds > before.get(task_id, 0) for task_id, seconds in done(service).items())

    await wait_until(lambda: not service.is_loaded)
    before = done(service)
    await wait_until(lambda: service.is_loaded, _CALL_SECONDS)
    resumed = time.perf_counter() - begun
    await wait_until(has_caught_up, _CALL_SECONDS)
    return Recovery(resumed, time.perf_counter() - begun)


async def one_round(service: Transcriber, url: str, number: int) -> Recovery:
    """Kill the engine once while all slots are taken, and see every item to its end."""

    async def transcribe(name: str) -> contract.TranscribeResponse:
        return await service.stub.Transcribe(request(url, name), timeout=_CALL_SECONDS)

    calls = [asyncio.create_task(transcribe(f"{number}-{slot}")) for slot in range(SLOTS)]
    recovery = await kill(service)
    answers: Sequence[contract.TranscribeResponse] = await asyncio.gather(*calls)
    return replace(recovery, failed=sum(answer.HasField("error") for answer in answers))


async def measure(rounds: int) -> bool:
    """Print the figures; tell whether the goals were reached."""
    with tempfile.TemporaryDirectory() as folder, media_server() as media:
        url = media.serve("speech.mp3", Answer(speech(), "audio/mpeg"))
        async with (
            running_transcriber(Path(folder), slots=SLOTS) as service,
            asking_for_health(service) as health,
        ):
            ends = [await one_round(service, url, number) for number in range(rounds)]
    for end in ends:
        print(f"resumed after {end.resumed:.2f} s, caught up after {end.caught_up:.2f} s")
    print(f"{len(health.seconds)} answers about the health, {health.bad} other than SERVING")
    slowest, failed = max(health.seconds), sum(end.failed for end in ends)
    resumed = max(end.resumed for end in ends)
    print(
        f"bench-recovery: kills={rounds} resumed_s={resumed:.2f} health_s={slowest:.3f} "
        f"failed={failed}"
    )
    is_well = not failed and not health.bad and slowest <= GOAL_HEALTH_SECONDS
    return is_well and resumed <= GOAL_SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    is_met = asyncio.run(measure(parser.parse_args().rounds))
    raise SystemExit(0 if is_met else "A goal was missed.")


if __name__ == "__main__":
    main()
