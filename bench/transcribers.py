"""A process full of scripted transcribers, which need no model and do as the benchmark asks.

They offer no slots until a line of JSON with a number comes in; at the end of input they say when
they worked and stop.
"""

import argparse
import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import uvloop
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest, TranscribeResponse

from servicekit.status import Context
from tests.scripted_transcriber import (
    Script,
    ScriptedTranscriber,
    at_once,
    failed,
    running,
    succeeded,
)

ANSWER = succeeded()


class Instant(ScriptedTranscriber):
    """Answers before there is anything to say in WatchStatus."""

    async def Transcribe(  # noqa: N802
        self, request: TranscribeRequest, context: Context
    ) -> TranscribeResponse:
        return ANSWER


class Pace:
    """Ends calls at ``rate`` a second over all transcribers of the process."""

    def __init__(self, rate: float) -> None:
        self._interval_seconds = 1 / rate
        self._next = 0.0

    async def __call__(
        self, _: ScriptedTranscriber, request: TranscribeRequest
    ) -> TranscribeResponse:
        now = time.monotonic()
        self._next = max(now, self._next + self._interval_seconds)
        await asyncio.sleep(self._next - now)
        return succeeded()


class Sleep:
    """Sleeps as long as the address says, ``http://bench.test/<seconds>/…``, as a GPU works."""

    def __init__(self) -> None:
        self.busy: list[tuple[float, float]] = []

    async def __call__(
        self, _: ScriptedTranscriber, request: TranscribeRequest
    ) -> TranscribeResponse:
        seconds = float(urlsplit(request.url).path.split("/")[1])
        begun = time.time()
        await asyncio.sleep(seconds)
        self.busy.append((begun, time.time()))
        return succeeded()


class Day:
    """Sleeps as ``Sleep`` does, then fails as the address says: ``…/<seconds>/<fate>/…``."""

    def __init__(self) -> None:
        self._failed: set[str] = set()

    async def __call__(
        self, _: ScriptedTranscriber, request: TranscribeRequest
    ) -> TranscribeResponse:
        seconds, fate = urlsplit(request.url).path.split("/")[1:3]
        await asyncio.sleep(float(seconds))
        if fate == "bad":
            return failed()
        if fate == "flaky" and request.url not in self._failed:
            self._failed.add(request.url)
            return failed("SOURCE_FETCH_FAILED", retryable=True)
        return succeeded()


async def serve(count: int, script: Script) -> None:
    """Run ``count`` transcribers for as long as the input lasts."""
    kind = Instant if script is at_once else ScriptedTranscriber
    async with AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(running(kind(script, slots=0))) for _ in range(count)
        ]
        _say([member.address for member in members])
        lines = await _stdin()
        while line := await lines.readline():
            for member in members:
                member.offer(json.loads(line))
        _say(script.busy if isinstance(script, Sleep) else [])


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--script", choices=("at-once", "pace", "sleep", "day"), required=True)
    parser.add_argument("--rate", type=float, default=1)
    chosen = parser.parse_args()
    scripts: dict[str, Script] = {
        "at-once": at_once,
        "pace": Pace(chosen.rate),
        "sleep": Sleep(),
        "day": Day(),
    }
    uvloop.run(serve(chosen.count, scripts[chosen.script]))


if __name__ == "__main__":
    main()
