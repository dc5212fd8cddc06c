"""A real transcriber on the tests' internet, and what becomes of addresses handed to it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.transcriber.v1 import transcriber_service_pb2_grpc as contract_grpc
from batchscribe.v1 import batch_pb2

from servicekit import serve

MODEL = "tiny.en"
SLOTS = 4
MAX_MEDIA_BYTES = 8 * 1024 * 1024
# All there is: with these the filter is as good as off.
EVERYTHING = ("0.0.0.0/0:*", "[::/0]:*")

_ANSWER_SECONDS = 120.0


class Fetching:
    """Has a transcriber fetch addresses, a few at a time; no gateway looks at them before."""

    def __init__(self, stub: contract_grpc.TranscriberServiceStub, pid: int) -> None:
        self._stub = stub
        self.pid = pid

    async def fetch_all(self, urls: Iterable[str]) -> list[contract.TranscribeResponse]:
        """Return what became of each address, in order."""
        places = asyncio.Semaphore(SLOTS)

        async def fetch(number: int, url: str) -> contract.TranscribeResponse:
            async with places:
                request = _request(f"{os.urandom(4).hex()}-{number}", url)
                return await self._stub.Transcribe(request, timeout=_ANSWER_SECONDS)

        return await asyncio.gather(*(fetch(number, url) for number, url in enumerate(urls)))


def _request(task_id: str, url: str) -> contract.TranscribeRequest:
    options = batch_pb2.TranscribeOptions(
        task=batch_pb2.TRANSCRIBE_TASK_TRANSCRIBE,
        vad_filter=True,
        beam_size=1,
        word_timestamps=False,
    )
    return contract.TranscribeRequest(
        task_id=task_id, epoch=1, url=url, model=MODEL, language="en", options=options
    )


@asynccontextmanager
async def transcriber(
    folder: Path, allow: Sequence[str] = (), **settings: object
) -> AsyncIterator[Fetching]:
    """Run ``python -m transcriber``; its log goes where ours goes."""
    defaults = {
        "listen": "127.0.0.1:0",
        "slots": SLOTS,
        "models": MODEL,
        "model_dir": folder / "models",
        "work_dir": folder / "work",
        "max_media_bytes": MAX_MEDIA_BYTES,
        "fetch_timeout_seconds": 10,
        "drain_grace_seconds": 0,
        "egress_allow": ",".join(allow),
    }
    given = {
        f"TRANSCRIBER_{name.upper()}": str(value) for name, value in (defaults | settings).items()
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "transcriber"),
        env={"PATH": os.environ["PATH"], **given},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        address = json.loads(await process.stdout.readline())["listening"]
        async with grpc.aio.insecure_channel(address, options=serve.CHANNEL_OPTIONS) as channel:
            await _until_ready(channel)
            yield Fetching(contract_grpc.TranscriberServiceStub(channel), process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _until_ready(channel: grpc.aio.Channel) -> None:
    stub = contract_grpc.TranscriberServiceStub(channel)
    async for status in stub.WatchStatus(contract.WatchStatusRequest()):
        if any(model.loaded for model in status.models):
            return
