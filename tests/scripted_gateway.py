"""A real grpc.aio server whose answers a test writes down beforehand."""

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from batchscribe.v1 import batch_pb2, batch_service_pb2
from batchscribe.v1.batch_service_pb2_grpc import (
    BatchServiceServicer,
    add_BatchServiceServicer_to_server,
)
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from servicekit import status

Context = grpc.aio.ServicerContext[Any, Any]
Event = batch_service_pb2.WatchBatchResponse
M = TypeVar("M", bound=Message)


@dataclass
class Connection:
    """How one WatchBatch call goes: after ``messages`` of them it ends with ``failure``."""

    messages: int = 1000
    failure: Status | None = None
    repeats: int = 0  # How many known revisions it sends again.
    then: Callable[[], Awaitable[object]] | None = None  # Awaited when the messages are out.


def _answering(method: str) -> Any:
    async def answer(gateway: "ScriptedGateway", request: Message, context: Context) -> Message:
        return await gateway._next(method, request, context)

    return answer


@dataclass
class ScriptedGateway(BatchServiceServicer):
    """Answers each method from its queue; a Status in a queue is sent as an error."""

    history: list[Event] = field(default_factory=list)
    connections: deque[Connection] = field(default_factory=deque)
    answers: dict[str, deque[Message]] = field(default_factory=dict)
    requests: list[Message] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)

    def will_answer(self, method: str, *answers: Message) -> None:
        self.answers.setdefault(method, deque()).extend(answers)

    async def WatchBatch(
        self, request: batch_service_pb2.WatchBatchRequest, context: Context
    ) -> AsyncIterator[Event]:
        self.requests.append(request)
        plan = self.connections.popleft() if self.connections else Connection()
        for event in self._events_after(request.after_revision, plan.repeats)[: plan.messages]:
            yield event
        if plan.then:
            await plan.then()
        if plan.failure is not None:
            await status.abort(context, plan.failure)

    CreateBatch = _answering("CreateBatch")
    GetBatch = _answering("GetBatch")
    ListBatches = _answering("ListBatches")
    CancelBatch = _answering("CancelBatch")
    ListBatchItems = _answering("ListBatchItems")
    RetryBatch = _answering("RetryBatch")
    DeleteBatch = _answering("DeleteBatch")
    GetTranscript = _answering("GetTranscript")
    GetQuota = _answering("GetQuota")
    ListModels = _answering("ListModels")

    async def ExportTranscript(self, request: Message, context: Context) -> AsyncIterator[Any]:
        yield await self._next("ExportTranscript", request, context)

    async def _next(self, method: str, request: Message, context: Context) -> Message:
        self.requests.append(_copy(request))
        self.metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        answer = self.answers[method].popleft()
        if isinstance(answer, Status):
            await status.abort(context, answer)
        return answer

    def _events_after(self, revision: int, repeats: int) -> list[Event]:
        if revision == 0:
            return self.history
        return [e for e in self.history[1:] if e.revision > revision - repeats]


def history(items: int) -> list[Event]:
    """A batch's whole life: a snapshot, one change for each item, and its end."""
    made = [_pending(n) for n in range(items)]
    running = batch_pb2.Batch(batch_id="batch_1", state=batch_pb2.BATCH_STATE_RUNNING, items=made)
    ended = batch_pb2.Batch(batch_id="batch_1", state=batch_pb2.BATCH_STATE_SUCCEEDED)
    events = [
        Event(snapshot=running),
        *(Event(item_changed=_succeeded(item)) for item in made),
        Event(batch_changed=ended),
    ]
    for revision, event in enumerate(events, start=1):
        event.revision = revision
        event.progress.total = items
    return events


@contextlib.asynccontextmanager
async def serving(gateway: ScriptedGateway, port: int = 0) -> AsyncGenerator[str, None]:
    """Serve ``gateway`` on a loopback port and yield its address."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    add_BatchServiceServicer_to_server(gateway, server)
    chosen = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{chosen}"
    finally:
        await server.stop(0)


def unavailable(retry_seconds: float | None = None) -> Status:
    """UNAVAILABLE, with RetryInfo if ``retry_seconds`` is given."""
    details = [] if retry_seconds is None else [status.retry_info(retry_seconds)]
    return status.build(
        grpc.StatusCode.UNAVAILABLE, "DRAINING", "The server is restarting.", details=details
    )


def _pending(index: int) -> batch_pb2.BatchItem:
    return batch_pb2.BatchItem(
        item_id=f"item_{index}",
        index=index,
        url=f"https://example.com/{'abcdefgh'[index]}.mp4",
        state=batch_pb2.ITEM_STATE_PENDING,
    )


def _succeeded(item: batch_pb2.BatchItem) -> batch_pb2.BatchItem:
    ended = _copy(item)
    ended.state = batch_pb2.ITEM_STATE_SUCCEEDED
    ended.transcription_id = f"trans_{item.index}"
    return ended


def _copy(message: M) -> M:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied
