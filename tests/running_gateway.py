"""A real gateway inside the test's own loop, on a real socket and a real Redis."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
from batchscribe.v1.batch_pb2 import Batch, VideoSpec
from batchscribe.v1.batch_service_pb2 import (
    CreateBatchRequest,
    GetBatchRequest,
    WatchBatchRequest,
    WatchBatchResponse,
)
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub

from gateway.server import Server
from gateway.settings import Settings
from servicekit.telemetry import SILENT, Telemetry

KEY = "bs_test_0123456789abcdef0123456789abcdef"
METADATA = (("authorization", f"Bearer {KEY}"),)


@dataclass(frozen=True)
class RunningGateway:
    """A stub with the key's metadata beside it, and the addresses."""

    stub: BatchServiceStub
    address: str
    http: str

    async def create(self, *urls: str, **fields: Any) -> Batch:
        videos = [VideoSpec(url=url) for url in urls]
        request = CreateBatchRequest(videos=videos, **fields)
        response = await self.stub.CreateBatch(request, metadata=METADATA)
        return response.batch

    async def batch(self, batch_id: str) -> Batch:
        request = GetBatchRequest(batch_id=batch_id)
        return (await self.stub.GetBatch(request, metadata=METADATA)).batch

    async def watch(self, batch_id: str, after: int = 0) -> AsyncIterator[WatchBatchResponse]:
        request = WatchBatchRequest(batch_id=batch_id, after_revision=after)
        async for response in self.stub.WatchBatch(request, metadata=METADATA):
            yield response

    async def ended(self, batch_id: str) -> Batch:
        """Wait for the batch's end and return it."""
        async for _ in self.watch(batch_id):
            pass
        return await self.batch(batch_id)

    async def if_ended(self, batch_id: str) -> Batch | None:
        """Return the batch if it has ended; None also while that cannot be told."""
        with suppress(grpc.aio.AioRpcError):
            batch = await self.batch(batch_id)
            return batch if batch.HasField("end_time") else None
        return None


@asynccontextmanager
async def running_gateway(
    redis_url: str,
    transcribers: Sequence[str] = (),
    telemetry: Telemetry = SILENT,
    **settings: Any,
) -> AsyncIterator[RunningGateway]:
    """Serve a gateway while the context is open; retries wait for next to nothing."""
    values: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "http_listen": "",
        "redis_url": redis_url,
        "api_key": KEY,
        "transcribers": tuple(transcribers),
        "default_model": "tiny.en",
        "models": ("tiny.en",),
        "retry_base_seconds": 0.01,
        "drain_grace_seconds": 1,
        "egress_allow": ("127.0.0.1:*",),
    } | settings
    async with AsyncExitStack() as stack:
        server = Server(Settings(**values), telemetry).serving()
        async with server as listening:
            # Closed after the server, so that a client sees how the server ends its calls.
            channel = grpc.aio.insecure_channel(listening["listening"])
            stack.push_async_callback(channel.close)
            yield RunningGateway(
                BatchServiceStub(channel), listening["listening"], listening["http"]
            )
