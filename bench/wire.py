"""``make bench-wire``: what it takes on the wire to follow 10 and 100 videos to their ends.

Four ways of asking, each of a gateway of its own: a request for each video, on new and on kept
connections; one batch that is polled; one batch that is watched. Nothing is compressed in time: the
scripted transcribers take as long as they say, and polls come every five seconds.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
from batchscribe.client import BatchOptions, Client
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    TaskStage,
    TranscribeRequest,
    TranscribeResponse,
)

from bench.wire_meter import WireMeter
from tests.running_gateway import KEY, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running, succeeded
from tests.valkey import Valkey

VIDEO_SECONDS = 60
FETCH_SECONDS, SPEED, REPORT_SECONDS = 1.0, 12.0, 0.5
SLOTS = 4  # Of the one transcriber, as by default.
POLL_SECONDS = 5.0
KEPT_CONNECTIONS = SLOTS
HTTP_TIMEOUT_SECONDS = 60.0  # Also until a connection is free: a hundred begin at once.
ROUTE = "/api/v1/transcribe/batch"
RUNNING = ("pending", "processing")
GOAL_PERCENT = 90.0

Ask = Callable[[str, list[str]], Awaitable[None]]


@dataclass(frozen=True)
class Traffic:
    """What one way of asking took."""

    bytes: int
    round_trips: int
    connections: int

    def saved_percent(self, baseline: "Traffic") -> tuple[float, float]:
        """Return how much less this is than ``baseline``, in bytes and in round trips."""
        return (
            100 * (1 - self.bytes / baseline.bytes),
            100 * (1 - self.round_trips / baseline.round_trips),
        )


async def work(transcriber: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
    """Fetch, then transcribe at ``SPEED`` times real time and say how far it is."""
    await asyncio.sleep(FETCH_SECONDS)
    done = 0.0
    while done < VIDEO_SECONDS:
        transcriber.report(request, TaskStage.TASK_STAGE_TRANSCRIBING, done, VIDEO_SECONDS)
        await asyncio.sleep(REPORT_SECONDS)
        done += REPORT_SECONDS * SPEED
    return succeeded(VIDEO_SECONDS)


def http_client(server: str, kept_connections: int) -> httpx2.AsyncClient:
    limits = httpx2.Limits(
        max_connections=KEPT_CONNECTIONS,
        max_keepalive_connections=kept_connections,
        keepalive_expiry=HTTP_TIMEOUT_SECONDS,
    )
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx2.AsyncClient(
        base_url=f"http://{server}", headers=headers, limits=limits, timeout=HTTP_TIMEOUT_SECONDS
    )


async def polled(http: httpx2.AsyncClient, urls: list[str]) -> None:
    """Create one batch and ask for it until it has ended."""
    body = {
        "videos": [{"youtube_url": url} for url in urls],
        "options": {"max_concurrent": SLOTS},
    }
    batch: dict[str, Any] = (await http.post(ROUTE, json=body)).raise_for_status().json()
    while batch["status"] in RUNNING:
        await asyncio.sleep(POLL_SECONDS)
        found = await http.get(f"{ROUTE}/{batch['batch_id']}")
        batch = found.raise_for_status().json()
    assert batch["completed"] == len(urls)


async def singles(server: str, urls: list[str], kept_connections: int) -> None:
    async with http_client(server, kept_connections) as http, asyncio.TaskGroup() as tasks:
        for url in urls:
            tasks.create_task(polled(http, [url]))


async def singles_on_new_connections(server: str, urls: list[str]) -> None:
    await singles(server, urls, kept_connections=0)


async def singles_on_kept_connections(server: str, urls: list[str]) -> None:
    await singles(server, urls, kept_connections=KEPT_CONNECTIONS)


async def one_polled_batch(server: str, urls: list[str]) -> None:
    async with http_client(server, KEPT_CONNECTIONS) as http:
        await polled(http, urls)


async def one_watched_batch(server: str, urls: list[str]) -> None:
    async with Client(server, KEY) as client:
        batch = await client.create_batch(urls, options=BatchOptions(max_concurrent=SLOTS))
        # What the batch was is known: no snapshot is needed.
        async for event in client.watch(batch.batch_id, batch.revision):
            last = event
    assert last.progress.succeeded == len(urls)


HTTP_WAYS: dict[str, Ask] = {
    "a request each, new connections": singles_on_new_connections,
    "a request each, kept connections": singles_on_kept_connections,
    "one batch, polled": one_polled_batch,
}
WATCHED = "one batch, watched"


async def traffic(ask: Ask, videos: int, *, over_http: bool) -> Traffic:
    """Let ``ask`` follow so many videos to their ends, on a gateway of its own."""
    valkey = Valkey()
    urls = [f"https://www.youtube.com/watch?v={index:011d}" for index in range(videos)]
    try:
        valkey.start()
        async with (
            running(ScriptedTranscriber(work, slots=SLOTS)) as transcriber,
            running_gateway(
                valkey.url,
                [transcriber.address],
                http_listen="127.0.0.1:0",
                tiers={"unlimited": {"videos_per_batch": 500}},
            ) as gateway,
            WireMeter(gateway.http if over_http else gateway.address).serving() as meter,
        ):
            await ask(meter.address, urls)
            return Traffic(meter.bytes, meter.round_trips, meter.connections)
    finally:
        valkey.close()


async def measure(videos: int) -> dict[str, Traffic]:
    """Follow so many videos in every way, all ways at the same time."""
    async with asyncio.TaskGroup() as tasks:
        measuring = {
            name: tasks.create_task(traffic(ask, videos, over_http=True))
            for name, ask in HTTP_WAYS.items()
        }
        measuring[WATCHED] = tasks.create_task(traffic(one_watched_batch, videos, over_http=False))
    return {name: task.result() for name, task in measuring.items()}


def show(videos: int, measured: dict[str, Traffic]) -> tuple[float, float]:
    """Print a table; return what watching saves of the strongest of the requests for each video."""
    print(f"{videos} videos of {VIDEO_SECONDS} s, polled every {POLL_SECONDS:.0f} s")
    for name, found in measured.items():
        print(
            f"  {name:34}{found.bytes:>10,} bytes {found.round_trips:>6,} round trips"
            f" {found.connections:>6,} connections"
        )
    baselines = [found for name, found in measured.items() if name.startswith("a request each")]
    saved = [measured[WATCHED].saved_percent(baseline) for baseline in baselines]
    return min(of_bytes for of_bytes, _ in saved), min(of_trips for _, of_trips in saved)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, nargs="+", default=[10, 100])
    for videos in parser.parse_args().videos:
        of_bytes, of_trips = show(videos, asyncio.run(measure(videos)))
    print(f"bench-wire: bytes_saved={of_bytes:.1f}% round_trips_saved={of_trips:.1f}%")
    if of_bytes < GOAL_PERCENT:
        raise SystemExit(f"Less than {GOAL_PERCENT:.0f} % of the bytes are saved.")


if __name__ == "__main__":
    main()
