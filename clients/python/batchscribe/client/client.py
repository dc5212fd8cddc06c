"""The asynchronous client: one channel, one key, one method for each thing a user does.

Every unary call has a deadline and is repeated while the server is away; every call that creates
something carries a request id, so repeating it is safe.
"""

import contextlib
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc
from batchscribe.client import errors
from batchscribe.client.retry import retrying
from batchscribe.client.tracing import trace_metadata
from batchscribe.client.watch import Event, ResumingWatch
from batchscribe.v1 import batch_pb2, batch_service_pb2, transcript_pb2, webhook_service_pb2
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub
from batchscribe.v1.webhook_service_pb2_grpc import WebhookServiceStub

DEFAULT_SERVER = "127.0.0.1:50051"

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC 1.85 heeds this one instead; by default it would be a minute.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
# Longer than the 60 minutes after which a server ends a watch by itself.
_STREAM_TIMEOUT_SECONDS = 65 * 60.0
_AS_USER = "x-batchscribe-user"
_SEGMENTS_PER_PAGE = 2000


class Client:
    """A connection to a Batchscribe server; use it with ``async with``.

    ``timeout_seconds`` is the deadline of one try of a unary call, ``retry_seconds`` the time over
    which such calls are repeated while the server is unavailable, ``patience_seconds`` how long a
    watch keeps trying to reach a silent server. A ``server`` that begins with ``https://`` is
    spoken to over TLS, and so is one with a ``ca_file``, a PEM file of those who may vouch for it;
    ``credentials`` are for whatever else gRPC can do. An admin may read the batches ``as_user``.
    Methods raise the exceptions of ``batchscribe.client.errors``.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        api_key: str = "",
        *,
        ca_file: str | Path | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        as_user: str = "",
        timeout_seconds: float = 10.0,
        retry_seconds: float = 30.0,
        patience_seconds: float = 600.0,
    ) -> None:
        self._channel = _open_channel(server, ca_file, credentials)
        self._stub = BatchServiceStub(self._channel)
        self._webhooks = WebhookServiceStub(self._channel)
        if not (api_key.isascii() and api_key.isprintable()):
            raise errors.Unauthenticated("This is no key: it has characters that no key has.")
        metadata = {"authorization": f"Bearer {api_key}" if api_key else "", _AS_USER: as_user}
        self._metadata = tuple((name, value) for name, value in metadata.items() if value)
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds
        self._patience_seconds = patience_seconds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def create_batch(
        self,
        videos: Iterable[str | batch_pb2.VideoSpec],
        *,
        options: batch_pb2.BatchOptions | None = None,
        display_name: str = "",
        annotations: Mapping[str, str] | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
    ) -> batch_pb2.Batch:
        """Store a batch of videos, given as addresses or as ``VideoSpec``, and return it.

        A repeated call with the same ``request_id`` (a UUID4, by default a new one) and the same
        content returns the same batch. Raises InvalidRequest with every violation at once, and
        ResourceExhausted when there have been too many batches or videos; it says when to go on.
        """
        request = batch_service_pb2.CreateBatchRequest(
            videos=[batch_pb2.VideoSpec(url=v) if isinstance(v, str) else v for v in videos],
            options=options,
            display_name=display_name,
            annotations=annotations,
            request_id=request_id or str(uuid.uuid4()),
            validate_only=validate_only,
        )
        return (await self._call(self._stub.CreateBatch, request)).batch

    async def get_batch(self, batch_id: str) -> batch_pb2.Batch:
        """Return a batch with its items as they are now."""
        request = batch_service_pb2.GetBatchRequest(
            batch_id=batch_id, view=batch_pb2.BATCH_VIEW_FULL
        )
        return (await self._call(self._stub.GetBatch, request)).batch

    async def list_batches(self, page_size: int = 0) -> AsyncGenerator[batch_pb2.Batch, None]:
        """Yield your batches without items, newest first; pages are fetched as needed."""
        request = batch_service_pb2.ListBatchesRequest(page_size=page_size)
        while True:
            page = await self._call(self._stub.ListBatches, request)
            for batch in page.batches:
                yield batch
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def cancel(self, batch_id: str, item_ids: Iterable[str] = ()) -> batch_pb2.Batch:
        """Stop some items of a batch, or all of it if none is named; idempotent."""
        request = batch_service_pb2.CancelBatchRequest(batch_id=batch_id, item_ids=item_ids)
        return (await self._call(self._stub.CancelBatch, request)).batch

    async def items(
        self,
        batch_id: str,
        state: batch_pb2.ItemState.ValueType = batch_pb2.ITEM_STATE_UNSPECIFIED,
    ) -> AsyncGenerator[batch_pb2.BatchItem, None]:
        """Yield the items of a batch in order, with their attempts: all, or those in ``state``."""
        request = batch_service_pb2.ListBatchItemsRequest(batch_id=batch_id, state=state)
        while True:
            page = await self._call(self._stub.ListBatchItems, request)
            for item in page.items:
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def retry(self, batch_id: str) -> batch_pb2.Batch:
        """Run the failed items of an ended batch again; FailedPrecondition if there are none."""
        request = batch_service_pb2.RetryBatchRequest(batch_id=batch_id)
        return (await self._call(self._stub.RetryBatch, request)).batch

    async def delete(self, batch_id: str) -> None:
        """Delete an ended batch and its transcripts for good."""
        request = batch_service_pb2.DeleteBatchRequest(batch_id=batch_id)
        await self._call(self._stub.DeleteBatch, request)

    async def watch(self, batch_id: str, after_revision: int = 0) -> AsyncGenerator[Event, None]:
        """Yield every change of a batch once, in order, and its progress, until it has ended.

        Reconnects by itself. With ``after_revision`` 0 the first event is a snapshot, otherwise
        the changes after that revision are replayed. Leaving the loop never cancels the batch.
        """

        def open_stream(
            cursor: int,
        ) -> grpc.aio.UnaryStreamCall[batch_service_pb2.WatchBatchRequest, Event]:
            request = batch_service_pb2.WatchBatchRequest(batch_id=batch_id, after_revision=cursor)
            return self._stub.WatchBatch(
                request, timeout=_STREAM_TIMEOUT_SECONDS, metadata=self._metadata
            )

        watch = ResumingWatch(open_stream, self._patience_seconds, after_revision)
        async with contextlib.aclosing(watch.events()) as events:
            async for event in events:
                yield event

    async def transcript(self, transcription_id: str) -> transcript_pb2.Transcript:
        """Return a whole transcript, its pages joined."""
        request = batch_service_pb2.GetTranscriptRequest(
            transcription_id=transcription_id, page_size=_SEGMENTS_PER_PAGE
        )
        page = await self._call(self._stub.GetTranscript, request)
        whole, texts = page.transcript, [page.transcript.text]
        space = _space_between(page.transcript)
        while page.next_page_token:
            request.page_token = page.next_page_token
            page = await self._call(self._stub.GetTranscript, request)
            whole.segments.extend(page.transcript.segments)
            texts.append(page.transcript.text)
        whole.text = space.join(texts)
        return whole

    async def export(
        self,
        transcription_id: str,
        file_format: batch_service_pb2.TranscriptFormat.ValueType | str,
        *,
        max_line_length: int = 0,
        max_line_count: int = 0,
    ) -> bytes:
        """Return a transcript as a UTF-8 file: ``"txt"``, ``"srt"``, ``"vtt"``, ``"json"`` or
        ``"jsonl"``. The line limits shape subtitles; 0 leaves them to the server.
        """
        request = batch_service_pb2.ExportTranscriptRequest(
            transcription_id=transcription_id,
            format=_format_value(file_format),
            max_line_length=max_line_length,
            max_line_count=max_line_count,
        )

        async def read() -> bytes:
            stream = self._stub.ExportTranscript(
                request, timeout=_STREAM_TIMEOUT_SECONDS, metadata=self._metadata
            )
            return b"".join([piece.data async for piece in stream])

        return await retrying(read, self._retry_seconds)

    async def quota(self) -> batch_service_pb2.Quota:
        """Return what you may do and what you have had of it this month."""
        request = batch_service_pb2.GetQuotaRequest()
        return (await self._call(self._stub.GetQuota, request)).quota

    async def models(self) -> list[batch_service_pb2.Model]:
        """Return the models that ``create_batch`` accepts, by name."""
        request = batch_service_pb2.ListModelsRequest()
        return list((await self._call(self._stub.ListModels, request)).models)

    async def deliveries(self, batch_id: str) -> list[webhook_service_pb2.Delivery]:
        """Return the webhook messages of a batch and what became of them, newest first."""
        request = webhook_service_pb2.ListDeliveriesRequest(batch_id=batch_id)
        return list((await self._call(self._webhooks.ListDeliveries, request)).deliveries)

    async def redeliver(self, webhook_id: str) -> webhook_service_pb2.Delivery:
        """Send a webhook message again at once, under its own id."""
        request = webhook_service_pb2.RedeliverWebhookRequest(webhook_id=webhook_id)
        return (await self._call(self._webhooks.RedeliverWebhook, request)).delivery

    async def rotate_webhook_secret(self) -> webhook_service_pb2.RotateSecretResponse:
        """Make a new secret for your webhooks; it is not shown again.

        The old one goes on signing for 24 hours.
        """
        request = webhook_service_pb2.RotateSecretRequest()
        return await self._call(self._webhooks.RotateSecret, request)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
    ) -> _Response:
        async def once() -> _Response:
            metadata = (*self._metadata, *trace_metadata())
            return await method(request, timeout=self._timeout_seconds, metadata=metadata)

        return await retrying(once, self._retry_seconds)


def _open_channel(
    server: str, ca_file: str | Path | None, credentials: grpc.ChannelCredentials | None
) -> grpc.aio.Channel:
    options: Any = _CHANNEL_OPTIONS
    address = server.removeprefix("https://").rstrip("/")
    if credentials is None and (ca_file or address != server):
        credentials = grpc.ssl_channel_credentials(_authorities(ca_file) if ca_file else None)
    if credentials is None:
        return grpc.aio.insecure_channel(address, options)
    return grpc.aio.secure_channel(address, credentials, options)


def _authorities(ca_file: str | Path) -> bytes:
    try:
        return Path(ca_file).read_bytes()
    except OSError as error:
        raise errors.InvalidRequest(f"{ca_file} cannot be read: {error.strerror}.") from error


def _space_between(page: transcript_pb2.Transcript) -> str:
    # The server joins the segments of some languages, such as Japanese, without a space.
    return "" if page.text == "".join(one.text.strip() for one in page.segments) else " "


def _format_value(
    file_format: batch_service_pb2.TranscriptFormat.ValueType | str,
) -> batch_service_pb2.TranscriptFormat.ValueType:
    if not isinstance(file_format, str):
        return file_format
    try:
        return batch_service_pb2.TranscriptFormat.Value(f"TRANSCRIPT_FORMAT_{file_format.upper()}")
    except ValueError as error:
        known = ", ".join(
            name.removeprefix("TRANSCRIPT_FORMAT_").lower()
            for name in batch_service_pb2.TranscriptFormat.keys()[1:]
        )
        raise errors.InvalidRequest(
            f"There is no format {file_format!r}; use one of {known}."
        ) from error
