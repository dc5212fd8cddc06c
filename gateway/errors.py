"""What a call can end with, and the one table that turns it into a gRPC status.

GatewayError
├── InvalidRequest      the request breaks rules; names every violation
├── RevisionAhead       a watch asks for a revision the batch has not reached
├── Unauthenticated     no key, or none that is known
├── PermissionDenied    the caller is known, but may not do this
├── Malformed           what came is no message
├── NotFound            the caller has no such thing
├── RequestIdReused     the same request_id came with another body
├── RateLimited         too many batches within a minute
├── QuotaExceeded       more than the caller may have this month
├── WrongState          the batch is not in a state that allows this
├── Draining            this gateway is going away; another one answers
├── WatchExpired        a watch has lasted long enough; resume it
├── StoreFull           Redis has no room for another batch
└── StoreUnavailable    Redis is away
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from servicekit import status

RETRY_AFTER_SECONDS = 1.0
_NAME_CHARS = 100


class GatewayError(Exception):
    """Base of every error sent to a caller on purpose.

    A subclass says its gRPC code and, where it is always the same, its reason.
    """

    code = grpc.StatusCode.INTERNAL
    reason = "INTERNAL"

    def metadata(self) -> Mapping[str, str]:
        return {}

    def details(self) -> Sequence[Message]:
        return ()


@dataclass(frozen=True)
class Violation:
    """One rule broken by one field: ``field`` is a path such as ``videos[3].url``."""

    field: str
    reason: str
    description: str


class InvalidRequest(GatewayError):
    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_REQUEST"

    def __init__(
        self, violations: Sequence[Violation], metadata: Mapping[str, str] | None = None
    ) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{first.field}: {first.description}{more}")
        self.violations = tuple(violations)
        self._metadata = dict(metadata or {})

    @classmethod
    def of(cls, field: str, reason: str, description: str) -> "InvalidRequest":
        """Return the error for one rule broken."""
        return cls([Violation(field, reason, description)])

    def metadata(self) -> Mapping[str, str]:
        return self._metadata

    def details(self) -> Sequence[Message]:
        bad = error_details_pb2.BadRequest()
        for violation in self.violations:
            bad.field_violations.add(
                field=violation.field, reason=violation.reason, description=violation.description
            )
        return (bad,)


class RevisionAhead(GatewayError):
    code = grpc.StatusCode.OUT_OF_RANGE
    reason = "REVISION_AHEAD"

    def __init__(self, asked: int, head: int) -> None:
        super().__init__(
            f"after_revision {asked} is beyond the batch's revision {head}; "
            "start again with after_revision 0."
        )
        self._head = head

    def metadata(self) -> Mapping[str, str]:
        return {"headRevision": str(self._head)}


class Unauthenticated(GatewayError):
    code = grpc.StatusCode.UNAUTHENTICATED

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PermissionDenied(GatewayError):
    code = grpc.StatusCode.PERMISSION_DENIED

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Malformed(GatewayError):
    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "MESSAGE_MALFORMED"

    def __init__(self) -> None:
        super().__init__("This is no message of this method; generate your client anew.")


class NotFound(GatewayError):
    code = grpc.StatusCode.NOT_FOUND

    def __init__(self, kind: str, name: str) -> None:
        if len(name) > _NAME_CHARS:  # Errors travel in trailers, which are small.
            name = f"{name[:_NAME_CHARS]}…"
        super().__init__(f"You have no {kind} {name!r}.")
        self.reason = f"{kind.upper()}_NOT_FOUND"
        self._resource = error_details_pb2.ResourceInfo(resource_type=kind, resource_name=name)

    def details(self) -> Sequence[Message]:
        return (self._resource,)


class RequestIdReused(GatewayError):
    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "REQUEST_ID_REUSED"

    def __init__(self, batch_id: str) -> None:
        super().__init__(
            f"This request_id already made {batch_id} with another body; "
            "use a new UUID4 for a new request."
        )
        self._batch_id = batch_id

    def details(self) -> Sequence[Message]:
        return (
            error_details_pb2.ResourceInfo(resource_type="batch", resource_name=self._batch_id),
        )


class WrongState(GatewayError):
    code = grpc.StatusCode.FAILED_PRECONDITION

    def __init__(self, reason: str, batch_id: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self._failure = error_details_pb2.PreconditionFailure()
        self._failure.violations.add(type="STATE", subject=batch_id, description=message)

    def details(self) -> Sequence[Message]:
        return (self._failure,)


class _Exhausted(GatewayError):
    """The caller has had what there is for them; after ``wait_seconds`` there is more."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(
        self, user: str, message: str, metadata: Mapping[str, str], wait_seconds: float
    ) -> None:
        super().__init__(message)
        self._metadata = metadata
        self._wait_seconds = wait_seconds
        self._failure = error_details_pb2.QuotaFailure()
        self._failure.violations.add(subject=f"user:{user}", description=message)

    def metadata(self) -> Mapping[str, str]:
        return self._metadata

    def details(self) -> Sequence[Message]:
        return (self._failure, status.retry_info(self._wait_seconds))


class RateLimited(_Exhausted):
    reason = "RATE_LIMITED"

    def __init__(self, user: str, batches_per_minute: int, wait_seconds: float) -> None:
        counted = "1 batch" if batches_per_minute == 1 else f"{batches_per_minute} batches"
        message = f"You may create {counted} a minute; try again in {math.ceil(wait_seconds)} s."
        super().__init__(user, message, {"batchesPerMinute": str(batches_per_minute)}, wait_seconds)


class QuotaExceeded(_Exhausted):
    def __init__(
        self, user: str, reason: str, message: str, reset_time: datetime, wait_seconds: float
    ) -> None:
        self.reason = reason
        hint = f"The next month begins on {reset_time:%Y-%m-%d} (UTC)."
        super().__init__(
            user,
            f"{message} {hint}",
            {"resetTime": f"{reset_time:%Y-%m-%dT%H:%M:%SZ}"},
            wait_seconds,
        )


class _TryAgain(GatewayError):
    code = grpc.StatusCode.UNAVAILABLE

    def details(self) -> Sequence[Message]:
        return (status.retry_info(RETRY_AFTER_SECONDS),)


class Draining(_TryAgain):
    reason = "DRAINING"

    def __init__(self) -> None:
        super().__init__("This gateway is shutting down; call again to reach the next one.")


class WatchExpired(_TryAgain):
    reason = "WATCH_EXPIRED"

    def __init__(self) -> None:
        super().__init__("This watch has ended by age; resume it with the last revision you saw.")


class StoreFull(_TryAgain):
    reason = "STORE_FULL"

    def __init__(self) -> None:
        super().__init__(
            "There is no room for another batch at the moment; delete old batches or try later."
        )


class StoreUnavailable(_TryAgain):
    reason = "STORE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The batch store cannot be reached at the moment; try again shortly.")


def to_status(error: GatewayError) -> status_pb2.Status:
    return status.build(
        error.code,
        error.reason,
        str(error),
        metadata=error.metadata(),
        details=error.details(),
    )
