"""A process that records items as a gateway does, but for the gateway, and says what one costs."""

import asyncio
import json
import os
import time

from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest, TranscribeResponse
from batchscribe.v1.batch_pb2 import BatchOptions

from gateway.link import Link
from gateway.metrics import Metrics
from gateway.observer import Observer
from gateway.pool import Transcriber
from gateway.store import Lease
from gateway.work import Work
from servicekit.recording import recording
from servicekit.telemetry import Telemetry, metadata, traceparent
from tests.scripted_transcriber import succeeded

ADDRESS = "127.0.0.1:50061"
BATCHES, ITEMS_PER_BATCH = 1000, 10
ANSWER = succeeded()


async def record(telemetry: Telemetry) -> None:
    """Record batches and the attempts at their items, one after the other."""
    observer = Observer(telemetry, Metrics(telemetry.meter))
    link = Link(ADDRESS, "transcriber", None)
    transcriber = Transcriber(ADDRESS, link)
    for number in range(BATCHES):
        with telemetry.span("CreateBatch", under=""):
            trace = traceparent()
        for index in range(ITEMS_PER_BATCH):
            request = TranscribeRequest(task_id=f"item_{number}_{index}")
            batch_id = f"batch_{number}"
            lease = Lease("address", "user", batch_id, 1, 0, BatchOptions(), request, trace=trace)
            await _attempt(observer, Work(lease, transcriber))
    await link.close()


async def _attempt(observer: Observer, work: Work) -> None:
    with observer.attempt(work):
        metadata()
        answer = await observer.call("Transcribe", _answer())
        with observer.settling(work, answer):
            pass


async def _answer() -> TranscribeResponse:
    return ANSWER


def main() -> None:
    with recording("recorder", os.environ.get("GATEWAY_METRICS_LISTEN", "")) as telemetry:
        begun = time.process_time()
        asyncio.run(record(telemetry))
    elapsed = time.process_time() - begun  # With what was sent at the end.
    print(json.dumps(elapsed * 1000 / (BATCHES * ITEMS_PER_BATCH)), flush=True)


if __name__ == "__main__":
    main()
