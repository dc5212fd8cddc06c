"""Leases: the right to work on an item, how it is prolonged and given up."""

from dataclasses import dataclass
from enum import StrEnum

from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1.batch_pb2 import BatchItem, BatchOptions


@dataclass(frozen=True)
class Lease:
    """The right to work on one item until it runs out, and what the work is.

    ``address`` is that of the transcriber it is for, ``unresolved`` the item itself if it may be a
    playlist, ``trace`` the traceparent of the call that made its batch.
    """

    address: str
    user: str
    batch_id: str
    epoch: int
    attempts: int
    options: BatchOptions
    request: TranscribeRequest
    unresolved: BatchItem | None = None
    trace: str = ""

    @property
    def item_id(self) -> str:
        return self.request.task_id

    @property
    def member(self) -> str:
        return f"{self.user}/{self.item_id}"


@dataclass(frozen=True)
class Vacancy:
    """A transcriber with ``slots`` in all, of which ``free`` may be filled with ready items."""

    address: str
    slots: int
    free: int


class Renewal(StrEnum):
    """What became of a lease when it was renewed."""

    OK = "OK"
    CANCEL = "CANCEL"
    STALE = "STALE"


class Release(StrEnum):
    """Why a lease is given up without an end; the kinds of release.lua."""

    RETRY = "retry"
    CRASH = "crash"
    SITE = "site"
    BACK = "back"
    OVER = "over"
    LOST = "lost"


def lease_from(
    address: bytes,
    member: bytes,
    epoch: int,
    batch_id: bytes,
    attempts: int,
    options: bytes,
    task: bytes,
    unresolved: bytes,
    trace: bytes,
) -> Lease:
    """Read one row of the answer of claim.lua."""
    user, _, _ = member.decode().partition("/")
    request = TranscribeRequest.FromString(task)
    request.epoch = epoch
    return Lease(
        address.decode(),
        user,
        batch_id.decode(),
        epoch,
        attempts,
        BatchOptions.FromString(options),
        request,
        BatchItem.FromString(unresolved) if unresolved else None,
        trace.decode(),
    )
