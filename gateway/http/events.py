"""A watch as server-sent events: the id is the revision, so readers resume where they were."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

import grpc
from batchscribe.v1.batch_pb2 import BATCH_VIEW_BASIC
from batchscribe.v1.batch_service_pb2 import GetBatchRequest, WatchBatchRequest, WatchBatchResponse
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub
from fastapi import APIRouter, Header, Query
from sse_starlette import EventSourceResponse, ServerSentEvent

from gateway.http import problems
from gateway.http.calls import CALL_TIMEOUT_SECONDS, ROOT, Batches, Caller, Metadata
from gateway.http.openapi import BatchId
from gateway.http.schemas import Schema
from gateway.http.transcoding import written

_SEND_SECONDS = 30  # A reader that takes nothing for so long is gone.
_RECONNECT_MS = 1_000
_MAX_REVISION = 2**63 - 1

# Coming back would end the same way. After any other failure the stream just closes, and the
# reader comes back with the id of the last event it saw.
_FINAL = (
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
)

_AFTER = "The last revision you have seen; 0 starts with a snapshot."
_LAST = "The id of the last event you have seen, as readers of events send it by themselves."
_STREAM: Schema = {"type": "string", "description": "The data of each event is WatchBatchResponse."}

Revision = Annotated[int, Query(ge=0, le=_MAX_REVISION, description=_AFTER)]
LastEventId = Annotated[int, Header(ge=0, le=_MAX_REVISION, description=_LAST)]


def router() -> APIRouter:
    """Return the one route."""
    routes = APIRouter(prefix=ROOT)
    routes.add_api_route(
        "/batches/{batch_id}/events",
        _events,
        methods=["GET"],
        response_class=EventSourceResponse,
        operation_id="WatchBatch",
        responses={200: {"content": {"text/event-stream": {"schema": _STREAM}}}},
        tags=["BatchService"],
    )
    return routes


async def _events(
    batch_id: BatchId,
    batches: Batches,
    caller: Caller,
    after_revision: Revision = 0,
    last_event_id: LastEventId = 0,
) -> EventSourceResponse:
    """Follows a batch to its end: a snapshot or what changed after a revision, then what comes.

    The events are snapshot, item_changed, batch_changed, progress_update, heartbeat and, at
    last, end; or problem, if the watch cannot go on.
    """
    # While the answer can still be an error: is there such a batch, and is it the caller's?
    await batches.GetBatch(
        GetBatchRequest(batch_id=batch_id, view=BATCH_VIEW_BASIC),
        metadata=caller,
        timeout=CALL_TIMEOUT_SECONDS,
    )
    watch = WatchBatchRequest(batch_id=batch_id, after_revision=max(after_revision, last_event_id))
    return EventSourceResponse(_told(batches, watch, caller), send_timeout=_SEND_SECONDS)


async def _told(
    batches: BatchServiceStub, watch: WatchBatchRequest, caller: Metadata
) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(retry=_RECONNECT_MS)
    try:
        async for event in _watched(batches, watch, caller):
            yield _event(event)
        yield ServerSentEvent("{}", event="end")
    except grpc.aio.AioRpcError as error:
        if error.code() in _FINAL:
            body = bytes(problems.of_call(error).body)
            yield ServerSentEvent(body.decode(), event="problem")


async def _watched(
    batches: BatchServiceStub, watch: WatchBatchRequest, caller: Metadata
) -> AsyncIterator[WatchBatchResponse]:
    call = batches.WatchBatch(watch, metadata=caller)
    try:
        async for event in call:
            yield event
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.OUT_OF_RANGE or not watch.after_revision:
            raise
        # The store has lost what it had told: begin again with a snapshot.
        async for event in _watched(batches, WatchBatchRequest(batch_id=watch.batch_id), caller):
            yield event
    finally:
        call.cancel()


def _event(event: WatchBatchResponse) -> ServerSentEvent:
    data = json.dumps(written(event), separators=(",", ":"), ensure_ascii=False)
    return ServerSentEvent(data, event=event.WhichOneof("event"), id=str(event.revision))
