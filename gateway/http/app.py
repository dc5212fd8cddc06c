"""The routes. Each one reads its request, makes a gRPC call with the caller's key, and answers."""

from typing import Annotated

import grpc
from batchscribe.v1.batch_service_pb2 import GetBatchRequest, ListModelsRequest
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.exceptions import HTTPException

from gateway.document import BatchDocument, document
from gateway.http import problems
from gateway.http.plan import BatchRequest, create_request

MAX_BODY_BYTES = 1024 * 1024
CALL_TIMEOUT_SECONDS = 30

BATCHES = "/api/v1/transcribe/batch"

Metadata = tuple[tuple[str, str], ...]


def create_app(channel: grpc.aio.Channel) -> FastAPI:
    """Return the application; ``channel`` leads to a gateway and stays the caller's."""
    app = FastAPI(title="Batchscribe", docs_url=None, redoc_url=None, max_body_size=MAX_BODY_BYTES)
    app.state.batches = BatchServiceStub(channel)
    app.state.health = health_pb2_grpc.HealthStub(channel)
    app.include_router(_routes())
    app.add_exception_handler(grpc.aio.AioRpcError, problems.of_rpc)
    app.add_exception_handler(RequestValidationError, problems.of_body)
    app.add_exception_handler(HTTPException, problems.of_http)
    app.add_exception_handler(Exception, problems.of_bug)
    return app


def _routes() -> APIRouter:
    router = APIRouter()
    router.add_api_route(BATCHES, _create, methods=["POST"], status_code=202)
    router.add_api_route(f"{BATCHES}/{{batch_id}}", _get, methods=["GET"])
    router.add_api_route("/healthz", _health, methods=["GET"])
    return router


def _stub(request: Request) -> BatchServiceStub:
    stub: BatchServiceStub = request.app.state.batches
    return stub


def _metadata(authorization: Annotated[str, Header()] = "") -> Metadata:
    # gRPC takes printable ASCII only, of which every key is made.
    sendable = authorization.isascii() and authorization.isprintable()
    return (("authorization", authorization),) if authorization and sendable else ()


Stub = Annotated[BatchServiceStub, Depends(_stub)]
Caller = Annotated[Metadata, Depends(_metadata)]


async def _served_models(stub: Stub, caller: Caller) -> frozenset[str]:
    # As a dependency it comes before the body is read as a batch: who has no key learns no more.
    listed = await stub.ListModels(
        ListModelsRequest(), metadata=caller, timeout=CALL_TIMEOUT_SECONDS
    )
    return frozenset(model.name for model in listed.models)


async def _create(
    body: BatchRequest,
    response: Response,
    stub: Stub,
    caller: Caller,
    served_models: Annotated[frozenset[str], Depends(_served_models)],
    idempotency_key: Annotated[str, Header()] = "",
) -> BatchDocument:
    """Start a batch; with an ``Idempotency-Key`` (a UUID4) it is safe to send again."""
    created = await stub.CreateBatch(
        create_request(body, served_models, idempotency_key),
        metadata=caller,
        timeout=CALL_TIMEOUT_SECONDS,
    )
    response.headers["Location"] = f"{BATCHES}/{created.batch.batch_id}"
    return document(created.batch)


async def _get(batch_id: str, stub: Stub, caller: Caller) -> BatchDocument:
    """Return a batch as it is now."""
    found = await stub.GetBatch(
        GetBatchRequest(batch_id=batch_id), metadata=caller, timeout=CALL_TIMEOUT_SECONDS
    )
    return document(found.batch)


async def _health(request: Request) -> JSONResponse:
    """Say whether the gateway takes work; 503 while it starts, drains or lacks its store."""
    answer = await request.app.state.health.Check(
        health_pb2.HealthCheckRequest(), timeout=CALL_TIMEOUT_SECONDS
    )
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    return JSONResponse({"status": "ok" if serving else "unavailable"}, 200 if serving else 503)
