"""Thousands of watchers on one gateway, a process of its own so that its memory can be seen."""

import asyncio
from typing import Any

import grpc
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest, TranscribeResponse
from batchscribe.v1.batch_pb2 import BatchState
from batchscribe.v1.batch_service_pb2 import WatchBatchRequest
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub

from bench import processes
from tests.running_gateway import KEY, METADATA, RunningGateway
from tests.scripted_transcriber import ScriptedTranscriber, running, succeeded
from tests.support import wait_until

FEW, MANY = 100, 2_000
MOST_KIB = 64.0
SECONDS = 20.0


async def test_two_thousand_watchers_that_never_read_are_harmless(redis_url: str) -> None:
    """Each costs a few dozen KiB, whatever happens in its batch, and others see all at once."""
    gate = asyncio.Event()

    async def wait(_: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
        if "watched" in request.url:
            await gate.wait()
        return succeeded()

    async with (
        running(ScriptedTranscriber(wait, slots=8)) as transcriber,
        processes.gateway(redis_url, [transcriber.address], KEY) as service,
        grpc.aio.insecure_channel(service.said["listening"]) as channel,
    ):
        stub = BatchServiceStub(channel)
        gateway = RunningGateway(stub, service.said["listening"], "")
        batch = await gateway.create(*(f"http://x/watched{n}" for n in range(3)))
        request = WatchBatchRequest(batch_id=batch.batch_id)

        async def watched_by(count: int) -> list[Any]:
            watches = [stub.WatchBatch(request, metadata=METADATA) for _ in range(count)]
            await asyncio.gather(*(watch.initial_metadata() for watch in watches))
            return watches

        silent = await watched_by(FEW)
        before_mib = processes.resident_mib(service.pid)
        silent += await watched_by(MANY - FEW)
        await wait_until(lambda: len(transcriber.tasks) == 3)
        async with asyncio.timeout(SECONDS):
            other = await gateway.ended((await gateway.create("http://x/other")).batch_id)
        gate.set()
        async with asyncio.timeout(SECONDS):
            ended = await gateway.ended(batch.batch_id)
        grown_mib = processes.resident_mib(service.pid) - before_mib
        for watch in silent:
            watch.cancel()
    each_kib = grown_mib * 1024 / (MANY - FEW)
    print(f"A watcher that never reads costs {each_kib:.1f} KiB.")
    assert {other.state, ended.state} == {BatchState.BATCH_STATE_SUCCEEDED}
    assert each_kib < MOST_KIB
