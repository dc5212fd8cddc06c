"""What every route needs to call its own gateway: a channel to it, and the caller's key."""

from typing import Annotated, cast

import grpc
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub
from fastapi import Depends, Header, Request

ROOT = "/api/v1"
CALL_TIMEOUT_SECONDS = 30

Metadata = tuple[tuple[str, str], ...]


def _channel(request: Request) -> grpc.aio.Channel:
    return cast(grpc.aio.Channel, request.app.state.channel)


def _batches(request: Request) -> BatchServiceStub:
    return BatchServiceStub(_channel(request))


def _metadata(authorization: Annotated[str, Header(include_in_schema=False)] = "") -> Metadata:
    # gRPC takes printable ASCII only, of which every key is made.
    sendable = authorization.isascii() and authorization.isprintable()
    return (("authorization", authorization),) if authorization and sendable else ()


Channel = Annotated[grpc.aio.Channel, Depends(_channel)]
Batches = Annotated[BatchServiceStub, Depends(_batches)]
Caller = Annotated[Metadata, Depends(_metadata)]
