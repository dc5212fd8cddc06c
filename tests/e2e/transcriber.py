"""A transcriber as its own process with the real model, and a gateway's view of it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.transcriber.v1 import transcriber_service_pb2_grpc as contract_grpc
from batchscribe.v1 import batch_pb2

from servicekit import serve, status
from tests import process_tree
from tests.support import wait_until

MODEL = "tiny.en"


class Transcriber:
    """A running ``python -m transcriber``, and the last status that it pushed."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: grpc.aio.Channel, work_dir: Path
    ) -> None:
        self.process = process
        self.channel = channel
        self.work_dir = work_dir
        self.stub = contract_grpc.TranscriberServiceStub(channel)
        self.status = contract.WatchStatusResponse()
        self.seen: list[contract.WatchStatusResponse] = []

    async def watch(self) -> None:
        async for seen in self.stub.WatchStatus(contract.WatchStatusRequest()):
            self.status = seen
            self.seen.append(seen)

    @property
    def is_loaded(self) -> bool:
        """Whether any model is in memory."""
        return any(model.loaded for model in self.status.models)

    def stage(self, task_id: str) -> int:
        """Return the stage of a task; 0 if it is unknown."""
        return next((task.stage for task in self.status.tasks if task.task_id == task_id), 0)

    def transcribe(
        self, url: str, task_id: str, epoch: int = 1, **asked: Any
    ) -> "grpc.aio.UnaryUnaryCall[contract.TranscribeRequest, contract.TranscribeResponse]":
        return self.stub.Transcribe(request(url, task_id, epoch, **asked), timeout=60)

    def network(self, module: str) -> Path:
        """Return which network a child is in."""
        return Path(f"/proc/{self.children()[module]}/ns/net").readlink()

    def children(self) -> dict[str, int]:
        """Return the process ids of the children by module."""
        return {process_tree.module_of(pid): pid for pid in process_tree.children(self.process.pid)}

    def left_over(self) -> list[Path]:
        """Return the directories of tasks that are still there."""
        return [path for path in self.work_dir.glob("run-*/*") if path.is_dir()]

    def terminate(self) -> None:
        """Ask it to stop, once: a second time would end it at once."""
        os.kill(self.process.pid, signal.SIGTERM)

    async def exit_status(self) -> int:
        await asyncio.wait_for(self.process.communicate(), 20)
        assert self.process.returncode is not None
        return self.process.returncode


def words_of(text: str) -> set[str]:
    """Return the words of a text as they sound."""
    return set("".join(one for one in text.lower() if one.isalpha() or one == " ").split())


def request(
    url: str, task_id: str, epoch: int = 1, model: str = MODEL, language: str = "en", **options: Any
) -> contract.TranscribeRequest:
    """Return a request with every option resolved, as a gateway sends it."""
    resolved = {"vad_filter": True, "beam_size": 1, "word_timestamps": False} | options
    return contract.TranscribeRequest(
        task_id=task_id,
        epoch=epoch,
        url=url,
        model=model,
        language=language,
        options=batch_pb2.TranscribeOptions(task=batch_pb2.TRANSCRIBE_TASK_TRANSCRIBE, **resolved),
    )


async def refusal(call: "grpc.aio.UnaryUnaryCall[Any, Any]") -> tuple[grpc.StatusCode, str]:
    """Return the code and the reason that a call ends with instead of an answer."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), status.reason_of(caught.value)


async def start(
    directory: Path, *, within: Sequence[str] = (), **settings: Any
) -> asyncio.subprocess.Process:
    """Start the process with ``settings``; its output can be read.

    ``within`` is a command that runs what comes after it.
    """
    defaults = {
        "listen": "127.0.0.1:0",
        "models": MODEL,
        "model_dir": directory / "models",
        "work_dir": directory / "work",
        "drain_grace_seconds": 0,
        "egress_allow": "127.0.0.1:*",
    }
    environment = {
        f"TRANSCRIBER_{name.upper()}": str(value) for name, value in (defaults | settings).items()
    }
    return await asyncio.create_subprocess_exec(
        *(*within, sys.executable, "-m", "transcriber"),
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running_transcriber(directory: Path, **settings: Any) -> AsyncIterator[Transcriber]:
    """Start a transcriber with ``settings``, wait until it is ready, stop it in the end."""
    process = await start(directory, **settings)
    assert process.stdout is not None
    address = json.loads(await process.stdout.readline())["listening"]
    async with grpc.aio.insecure_channel(address, options=serve.CHANNEL_OPTIONS) as channel:
        transcriber = Transcriber(process, channel, directory / "work")
        watching = asyncio.create_task(transcriber.watch())
        try:
            await wait_until(lambda: transcriber.status.slots, 30)
            yield transcriber
        finally:
            if process.returncode is None:
                transcriber.terminate()
            await transcriber.exit_status()
            await asyncio.gather(watching, return_exceptions=True)
