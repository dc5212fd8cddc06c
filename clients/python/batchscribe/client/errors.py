"""Every failure the SDK raises, translated from gRPC in one place over one table.

BatchscribeError
├── InvalidRequest         INVALID_ARGUMENT: ``violations`` name every bad field at once
├── Unauthenticated        UNAUTHENTICATED: no key, or a wrong one
├── PermissionDenied       PERMISSION_DENIED
├── NotFound               NOT_FOUND: no such batch or transcript of yours
├── AlreadyExists          ALREADY_EXISTS: a ``request_id`` was used with another body
├── FailedPrecondition     FAILED_PRECONDITION
├── OutOfRange             OUT_OF_RANGE: a revision the batch has not reached
├── ResourceExhausted      RESOURCE_EXHAUSTED: a rate or a quota, see ``retry_after_seconds``
├── Unimplemented          UNIMPLEMENTED: the server is older than this client
├── Interrupted            a failure that may pass when the same call is made again
│   ├── Unavailable        UNAVAILABLE: not reachable, busy or restarting
│   ├── TimedOut           DEADLINE_EXCEEDED
│   └── Aborted            ABORTED, CANCELLED by the other side
└── ServerError            INTERNAL, UNKNOWN, DATA_LOSS: a bug on the other side
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class FieldViolation:
    """One bad field of a request: its path, such as ``videos[3].url``, and what is wrong."""

    field: str
    description: str


@dataclass(eq=False)
class BatchscribeError(Exception):
    """A call that failed; the attributes carry what the server said about it."""

    message: str
    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    reason: str = ""  # Fixed upper-case word for programs.
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_after_seconds: float | None = None

    def __str__(self) -> str:
        return self.message


class InvalidRequest(BatchscribeError): ...


class Unauthenticated(BatchscribeError): ...


class PermissionDenied(BatchscribeError): ...


class NotFound(BatchscribeError): ...


class AlreadyExists(BatchscribeError): ...


class FailedPrecondition(BatchscribeError): ...


class OutOfRange(BatchscribeError): ...


class ResourceExhausted(BatchscribeError): ...


class Unimplemented(BatchscribeError): ...


class Interrupted(BatchscribeError): ...


class Unavailable(Interrupted): ...


class TimedOut(Interrupted): ...


class Aborted(Interrupted): ...


class ServerError(BatchscribeError): ...


BY_CODE: Mapping[grpc.StatusCode, type[BatchscribeError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.CANCELLED: Aborted,
    grpc.StatusCode.INTERNAL: ServerError,
    grpc.StatusCode.UNKNOWN: ServerError,
    grpc.StatusCode.DATA_LOSS: ServerError,
}


def from_grpc(error: grpc.aio.AioRpcError) -> BatchscribeError:
    """Translate what grpc raised, with the rich details in its trailers."""
    status = _rich_status(error)
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    _unpack(status, info, request, retry)
    return BY_CODE.get(error.code(), ServerError)(
        message=error.details() or error.code().name,
        code=error.code(),
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=tuple(
            FieldViolation(bad.field, bad.description) for bad in request.field_violations
        ),
        retry_after_seconds=(
            retry.retry_delay.ToTimedelta().total_seconds()
            if retry.HasField("retry_delay")
            else None
        ),
    )


def _rich_status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:  # Some proxy's bytes: the plain status is still true.
                break
    return status_pb2.Status()


def _unpack(status: status_pb2.Status, *wanted: Message) -> None:
    for detail in status.details:
        for message in wanted:
            detail.Unpack(message)
