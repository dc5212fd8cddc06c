"""The application: all routes, the errors they share, and the document that describes them."""

from importlib import metadata
from typing import Any

import grpc
from batchscribe.v1.batch_service_pb2 import WatchBatchResponse
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.exceptions import HTTPException

from gateway.http import downloads, events, openapi, plan, problems, queue, resources
from gateway.http.body_limit import BodyLimit
from gateway.http.calls import CALL_TIMEOUT_SECONDS, Channel
from gateway.http.page import serve_page
from gateway.http.transcoding import UnreadableRequest

_INTRODUCTION = (
    "The contract `batchscribe.v1` over HTTP; what is said here is said in its protos. "
    "Where they name a status of gRPC: "
    + ", ".join(f"{code.name} is {status.value}" for code, status in problems.HTTP_STATUS.items())
    + "."
)


def create_app(channel: grpc.aio.Channel, read_queue: queue.ReadQueue | None = None) -> FastAPI:
    """Return the application; ``channel`` leads to a gateway and stays the caller's.

    ``read_queue`` knows what the gateway has no call for; without it there is no such route.
    """
    app = FastAPI(
        title="Batchscribe",
        version=metadata.version("batchscribe"),
        description=_INTRODUCTION,
        docs_url=None,
        redoc_url=None,
        responses=openapi.PROBLEMS,
        # Behind a proxy that ends TLS it would lead to http, and take the key along.
        redirect_slashes=False,
    )
    app.state.channel = channel
    for routes in (plan, resources, events, downloads):
        app.include_router(routes.router())
    if read_queue:
        app.include_router(queue.router(read_queue))
    open_to_all: dict[str, object] = {"security": []}
    app.add_api_route(
        "/healthz",
        _health,
        methods=["GET"],
        operation_id="GetHealth",
        tags=["Operation"],
        openapi_extra=open_to_all,
    )
    app.add_api_route("/healthz", _health, methods=["HEAD"], include_in_schema=False)
    serve_page(app)
    openapi.describe(app, [*resources.messages(), WatchBatchResponse.DESCRIPTOR])
    app.add_middleware(BodyLimit)
    app.add_exception_handler(grpc.aio.AioRpcError, problems.of_rpc)
    app.add_exception_handler(UnreadableRequest, problems.of_request)
    app.add_exception_handler(RequestValidationError, problems.of_body)
    app.add_exception_handler(HTTPException, problems.of_http)
    app.add_exception_handler(Exception, problems.of_bug)
    return app


async def _health(channel: Channel) -> JSONResponse:
    """Says whether the gateway takes work; 503 while it starts, drains or lacks its store."""
    health: Any = health_pb2_grpc.HealthStub(channel)  # Its types lack the methods.
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=CALL_TIMEOUT_SECONDS)
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    return JSONResponse({"status": "ok" if serving else "unavailable"}, 200 if serving else 503)
