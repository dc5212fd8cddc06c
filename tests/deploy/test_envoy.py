"""Envoy before two gateways that are processes of their own, as in deploy/envoy."""

import asyncio
import os
import signal
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from batchscribe.client import Client
from batchscribe.v1.batch_pb2 import BatchState
from batchscribe.v1.batch_service_pb2 import ListModelsRequest, ListModelsResponse

from bench import processes
from tests.certificates import Authority
from tests.deploy.envoy import Envoy, running_envoy
from tests.running_gateway import KEY
from tests.scripted_transcriber import ScriptedTranscriber, running, waiting
from tests.support import wait_until

WATCHES = 6
BEARER = {"Authorization": f"Bearer {KEY}"}


@dataclass(frozen=True)
class Site:
    """What clients see, and the gateways behind it."""

    envoy: Envoy
    ca: Path
    gateways: list[processes.Service]

    def client(self) -> Client:
        return Client(self.envoy.address, KEY, ca_file=self.ca)

    def http(self) -> httpx2.AsyncClient:
        context = ssl.create_default_context(cafile=str(self.ca))
        return httpx2.AsyncClient(
            base_url=f"https://{self.envoy.address}", verify=context, headers=BEARER
        )


@asynccontextmanager
async def site(
    redis_url: str, folder: Path, transcriber: ScriptedTranscriber
) -> AsyncIterator[Site]:
    authority = Authority(folder / "tls")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(transcriber))
        gateways = [
            await stack.enter_async_context(
                processes.gateway(
                    redis_url, [transcriber.address], KEY, GATEWAY_HTTP_LISTEN="127.0.0.1:0"
                )
            )
            for _ in range(2)
        ]
        grpc, http = ([one.said[kind] for one in gateways] for kind in ("listening", "http"))
        certificate = authority.issue("envoy", "127.0.0.1")
        envoy = await stack.enter_async_context(running_envoy(folder, certificate, grpc, http))
        yield Site(envoy, authority.ca, gateways)


async def test_calls_are_spread_over_gateways(redis_url: str, tmp_path: Path) -> None:
    """The calls of one client's single connection reach both gateways, over TLS."""
    async with (
        site(redis_url, tmp_path, ScriptedTranscriber()) as behind,
        behind.client() as client,
    ):
        before = await behind.envoy.calls("grpc")
        await asyncio.gather(*(client.models() for _ in range(40)))
        after = await behind.envoy.calls("grpc")
    assert all(more - less >= 5 for less, more in zip(before, after, strict=True))


async def test_browsers_speak_grpc_web_and_http(redis_url: str, tmp_path: Path) -> None:
    """On the same port gRPC-Web and REST get through; how long the queue is stays inside."""
    async with site(redis_url, tmp_path, ScriptedTranscriber()) as behind, behind.http() as http:
        call = ListModelsRequest().SerializeToString()
        answer = await http.post(
            "/batchscribe.v1.BatchService/ListModels",
            content=b"\0" + struct.pack(">I", len(call)) + call,
            headers={"Content-Type": "application/grpc-web+proto"},
        )
        over_rest = await http.get("/api/v1/models")
        inside = await http.get("/api/v1/queue")
    (length,) = struct.unpack(">I", answer.content[1:5])
    models = ListModelsResponse.FromString(answer.content[5 : 5 + length]).models
    assert "tiny.en" in {model.name for model in models}
    assert "tiny.en" in {model["name"] for model in over_rest.json()["models"]}
    assert inside.status_code == 404


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_watches_survive_the_loss_of_a_gateway(
    redis_url: str, tmp_path: Path, end: signal.Signals
) -> None:
    """When one of two gateways goes, every watch sees every revision once, in order."""
    may_end = asyncio.Event()
    async with site(redis_url, tmp_path, ScriptedTranscriber(waiting(may_end))) as behind:
        async with behind.client() as client, asyncio.TaskGroup() as group:
            batch = await client.create_batch(["http://127.0.0.1/1.mp3", "http://127.0.0.1/2.mp3"])
            seen: list[list[int]] = [[] for _ in range(WATCHES)]
            for revisions in seen:
                group.create_task(_follow(client, batch.batch_id, revisions))
            await wait_until(lambda: all(seen))
            assert all(await behind.envoy.calls("grpc", "rq_active"))
            os.kill(behind.gateways[0].pid, end)
            may_end.set()
        async with behind.client() as client:
            ended = await client.get_batch(batch.batch_id)
    assert ended.state == BatchState.BATCH_STATE_SUCCEEDED
    for revisions in seen:
        assert revisions == list(range(revisions[0], ended.revision + 1))


async def _follow(client: Client, batch_id: str, revisions: list[int]) -> None:
    """Note the snapshot's revision and that of every change."""
    async for event in client.watch(batch_id):
        if event.revision and event.revision not in revisions[-1:]:
            revisions.append(event.revision)
