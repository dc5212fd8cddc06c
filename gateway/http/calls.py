"""What every route needs to call its own gateway: a channel to it, and the caller's key."""

from typing import Annotated, cast

import grpc
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub
from fastapi import Depends, Header, Request

ROOT = "/api/v1"
CALL_TIMEOUT_SECONDS = 30

Metadata = tuple[tuple[str, str], ...]
Unlisted = Annotated[str, Header(include_in_schema=False)]


def _channel(request: Request) -> grpc.aio.Channel:
    return cast(grpc.aio.Channel, request.app.state.channel)


def _batches(request: Request) -> BatchServiceStub:
    return BatchServiceStub(_channel(request))


def _metadata(authorization: Unlisted = "", traceparent: Unlisted = "") -> Metadata:
    given = {"authorization": authorization, "traceparent": traceparent}
    # gRPC takes printable ASCII only, of which every key is made.
    return tuple(
        (name, value)
        for name, value in given.items()
        if value and value.isascii() and value.isprintable()
    )


Channel = Annotated[grpc.aio.Channel, Depends(_channel)]
Batches = Annotated[BatchServiceStub, Depends(_batches)]
Caller = Annotated[Metadata, Depends(_metadata)]
