"""What is stored of a batch and its items, as the arguments of create.lua and expand.lua."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1.batch_pb2 import Batch, BatchItem

from gateway import ids
from gateway.store.pipeline import Argument
from gateway.store.usage import UNLIMITED, Allowance

NewItem: TypeAlias = tuple[BatchItem, TranscribeRequest]


@dataclass(frozen=True)
class NewBatch:
    """A batch as it is to be stored; ``items`` pairs each item with the work it asks for.

    ``keep_ms`` counts from its end; 0 keeps it for ever. With ``max_total`` each item may be a
    playlist, and the batch may grow to so many. ``trace`` is the traceparent of the request.
    """

    batch: Batch
    items: Sequence[NewItem]
    request_id: str = ""
    body: bytes = b""
    keep_ms: int = 0
    weight: float = 1.0
    max_total: int | None = None
    allowance: Allowance = UNLIMITED
    trace: str = ""

    def arguments(self, user: str, deadline_ms: int, digests: Sequence[str]) -> list[Argument]:
        """Return what create.lua is called with."""
        options = self.batch.options
        arguments: list[Argument] = [
            user,
            self.batch.batch_id,
            self.request_id,
            hash_of(self.body),
            self.batch.SerializeToString(),
            options.SerializeToString(),
            options.max_concurrent,
            int(not options.parallel),
            int(options.continue_on_error),
            self.keep_ms,
            deadline_ms,
            self.weight,
            *self.allowance.arguments(),
            options.notify_webhook,
            ids.item_prefix(self.batch.batch_id),
            self.max_total or "",
            self.trace,
        ]
        for item, digest in zip(self.items, digests, strict=True):
            arguments += item_arguments(item, digest)
        return arguments


def entry_arguments(entry: NewItem, digest: str) -> list[Argument]:
    """Return what expand.lua is told of a playlist's video."""
    item, _ = entry
    return [*item_arguments(entry, digest), item.title, item.audio_duration.ToMilliseconds()]


def item_arguments(new: NewItem, digest: str) -> list[Argument]:
    """Return what the scripts are told of an item; ``digest`` is what its result is known by."""
    item, request = new
    return [item.SerializeToString(), request.SerializeToString(), site_of(request.url), digest]


def site_of(url: str) -> str:
    """Return the site that a URL belongs to, by host name; what one breaker stands for."""
    host = (urlsplit(url).hostname or "").removeprefix("www.").removeprefix("m.")
    return "youtube.com" if host == "youtu.be" else host


def hash_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
