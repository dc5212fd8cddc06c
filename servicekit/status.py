"""Rich gRPC errors: a ``google.rpc.Status`` with an ``ErrorInfo`` on each one sent on purpose.

``reason`` is the fixed upper-case word that programs switch on; the message is for people.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "batchscribe"

Context = grpc.aio.ServicerContext[Any, Any]


def retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    """Tell the caller that the same call may be made again after ``seconds``."""
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(int(seconds * 1000))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def build(
    code: grpc.StatusCode,
    reason: str,
    message: str,
    *,
    metadata: Mapping[str, str] | None = None,
    details: Sequence[Message] = (),
) -> status_pb2.Status:
    """Return the status with its ErrorInfo first and ``details`` behind it."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata or {})
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in (info, *details):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


async def abort(context: Context, status: status_pb2.Status) -> NoReturn:
    """End the call with ``status`` and its details in the trailers."""
    sent = rpc_status.to_status(status)
    await context.abort(sent.code, sent.details, sent.trailing_metadata)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the ErrorInfo reason that a server of ours sent, or an empty string."""
    status = from_error(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def from_error(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """Return the rich status in the trailers of ``error``; None if it carries none."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return None
