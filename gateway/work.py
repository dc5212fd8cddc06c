"""A leased item on its way through a transcriber: resolved if it may be a playlist, transcribed."""

import asyncio
import time
from typing import Any, TypeAlias, TypeVar

import grpc
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    ResolveSourceRequest,
    ResolveSourceResponse,
    TaskStatus,
    TranscribeResponse,
)

from gateway.pool import Call, Transcriber
from gateway.store import Lease
from gateway.tiers import MOST_VIDEOS
from servicekit.telemetry import metadata

R = TypeVar("R", TranscribeResponse, ResolveSourceResponse)
Answer: TypeAlias = "TranscribeResponse | ResolveSourceResponse | grpc.aio.AioRpcError"

# Stands for a call that this side cancelled: stale, draining, or a silent transcriber.
GIVEN_UP = grpc.aio.AioRpcError(
    grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()
)


class Work:
    """One lease, the transcriber it was given to, and the call while it lasts."""

    def __init__(self, lease: Lease, transcriber: Transcriber) -> None:
        self.lease = lease
        self.begun = time.monotonic()
        self.transcriber = transcriber
        self.boot_id = transcriber.status.boot_id if transcriber.status else ""
        self.is_stale = False
        self.is_resolving = lease.unresolved is not None
        self.is_over = False
        self._is_given_up = False
        self.status: TaskStatus | None = None
        self.news = asyncio.Event()
        self._call: Call | None = None

    @property
    def worker(self) -> str:
        status = self.transcriber.status
        return status.worker if status else self.transcriber.address

    async def resolve(self, timeout: float) -> "ResolveSourceResponse | grpc.aio.AioRpcError":
        """Ask what is at the address; never raises for what the other side did."""
        request = ResolveSourceRequest(url=self.lease.request.url, limit=MOST_VIDEOS)
        return await self._outcome(
            self.transcriber.stub.ResolveSource(request, timeout=timeout, metadata=metadata())
        )

    async def transcribe(self, timeout: float) -> "TranscribeResponse | grpc.aio.AioRpcError":
        """Make the call and return how it ended; never raises for what the other side did."""
        self.is_resolving = False
        request = self.lease.request
        try:
            return await self._outcome(
                self.transcriber.stub.Transcribe(request, timeout=timeout, metadata=metadata())
            )
        finally:
            self.is_over = True
            self.news.set()

    async def _outcome(self, call: "grpc.aio.UnaryUnaryCall[Any, R]") -> "R | grpc.aio.AioRpcError":
        self._call = call
        self.transcriber.calls.add(call)
        if self._is_given_up:
            call.cancel()
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            return error
        except asyncio.CancelledError:
            return GIVEN_UP
        finally:
            self.transcriber.calls.discard(call)

    def report(self, status: TaskStatus) -> None:
        """Take the transcriber's word for how far the task is; an older epoch's is not meant."""
        if status.epoch == self.lease.epoch:
            self.status = status
            self.news.set()

    def give_up(self) -> None:
        """End the call from this side, or before it begins; the transcriber goes on for a while."""
        self._is_given_up = True
        if self._call:
            self._call.cancel()

    def go_stale(self) -> None:
        """The lease is somebody else's: whatever comes back is dropped."""
        self.is_stale = True
        self.give_up()
