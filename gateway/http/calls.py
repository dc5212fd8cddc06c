"""What every route needs to call its own gateway: a channel to it, and who its caller says to be.

What that is worth the gateway says, for REST as for gRPC: nothing is judged or left out here.
"""

from typing import Annotated, cast

import grpc
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub
from fastapi import Depends, Request

ROOT = "/api/v1"
CALL_TIMEOUT_SECONDS = 30

Metadata = tuple[tuple[str, str], ...]

_PASSED_ON = ("authorization", "x-batchscribe-user", "traceparent")


def _channel(request: Request) -> grpc.aio.Channel:
    return cast(grpc.aio.Channel, request.app.state.channel)


def _batches(request: Request) -> BatchServiceStub:
    return BatchServiceStub(_channel(request))


def _metadata(request: Request) -> Metadata:
    return tuple(
        (name, _sendable(value)) for name in _PASSED_ON for value in request.headers.getlist(name)
    )


def _sendable(value: str) -> str:
    """Return ``value`` as gRPC takes it; what is changed by that was never good."""
    return "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in value)


Channel = Annotated[grpc.aio.Channel, Depends(_channel)]
Batches = Annotated[BatchServiceStub, Depends(_batches)]
Caller = Annotated[Metadata, Depends(_metadata)]
