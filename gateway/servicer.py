"""The RPC edge of BatchService: check, call, answer. What an error becomes is decided elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1.batch_pb2 import Batch, BatchItem, BatchView, ItemState, VideoSpec
from batchscribe.v1.batch_service_pb2 import (
    CancelBatchRequest,
    CancelBatchResponse,
    CreateBatchRequest,
    CreateBatchResponse,
    DeleteBatchRequest,
    DeleteBatchResponse,
    ExportTranscriptRequest,
    ExportTranscriptResponse,
    GetBatchRequest,
    GetBatchResponse,
    GetQuotaRequest,
    GetQuotaResponse,
    GetTranscriptRequest,
    GetTranscriptResponse,
    ListBatchesRequest,
    ListBatchesResponse,
    ListBatchItemsRequest,
    ListBatchItemsResponse,
    ListModelsRequest,
    ListModelsResponse,
    RetryBatchRequest,
    RetryBatchResponse,
    WatchBatchRequest,
    WatchBatchResponse,
)
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceServicer
from batchscribe.v1.transcript_pb2 import Transcript

from gateway import ids, pages, tiers, transcripts
from gateway.access import current_caller
from gateway.errors import InvalidRequest, NotFound
from gateway.metrics import Metrics
from gateway.models import ModelCatalog
from gateway.playlists import position
from gateway.pool import TranscriberPool
from gateway.progress import ProgressMeter
from gateway.quota import quota
from gateway.store import BatchStore, Ledger, NewBatch
from gateway.tiers import Tier, Tiers
from gateway.validation import CheckedBatch, Limits, canonical_body, check_create, is_uuid4
from gateway.watch import Watches
from servicekit.status import Context
from servicekit.telemetry import traceparent

DEFAULT_MAX_CONCURRENT = 3
# The list that ListBatches pages through; that of a batch's items goes by the batch's id.
BATCHES = "batches"
DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
MAX_ITEMS_PAGE_SIZE = 500
EXPORT_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Gateway:
    """What the servicer answers from."""

    store: BatchStore
    ledger: Ledger
    tiers: Tiers
    models: ModelCatalog
    pool: TranscriberPool
    meter: ProgressMeter
    watches: Watches
    metrics: Metrics
    http_webhooks: bool
    file_urls: bool
    retention_ms: int


class BatchServicer(BatchServiceServicer):
    """One method for each RPC; the contract is in batch_service.proto."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._store = gateway.store

    async def CreateBatch(
        self, request: CreateBatchRequest, context: Context
    ) -> CreateBatchResponse:
        user, body = current_caller.get().user, canonical_body(request)
        if is_uuid4(request.request_id) and not request.validate_only:
            # Before validation: what made a batch once is valid, whatever has changed since.
            known = await self._store.request(user, request.request_id, body)
            if known:
                return CreateBatchResponse(batch=await self._batch(known))
        tier = self._tier()
        checked = check_create(request, self._limits(tier), await self._gateway.models.usable())
        new = self._new_batch(checked, tier, request.request_id, body)
        if request.validate_only:
            await self._gateway.ledger.check(user, tier.allowance, len(new.items))
            return CreateBatchResponse(batch=_preview(new))
        batch_id = await self._store.create(user, new)
        self._gateway.metrics.batch_created(current_caller.get().tier, len(new.items))
        return CreateBatchResponse(batch=await self._batch(batch_id))

    async def GetBatch(self, request: GetBatchRequest, context: Context) -> GetBatchResponse:
        with_items = request.view != BatchView.BATCH_VIEW_BASIC
        return GetBatchResponse(batch=await self._batch(request.batch_id, with_items=with_items))

    async def ListBatches(
        self, request: ListBatchesRequest, context: Context
    ) -> ListBatchesResponse:
        size = pages.size(request.page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        before = pages.place(request.page_token, BATCHES, pages.number, str)
        found = await self._store.batch_ids(current_caller.get().user, before, size + 1)
        response = ListBatchesResponse()
        for _, batch_id in found[:size]:
            try:
                response.batches.append(await self._batch(batch_id, with_items=False))
            except NotFound:
                continue  # Deleted since the index was read.
        if len(found) > size:
            response.next_page_token = pages.token(BATCHES, *found[size - 1])
        return response

    async def ListBatchItems(
        self, request: ListBatchItemsRequest, context: Context
    ) -> ListBatchItemsResponse:
        size = pages.size(request.page_size, DEFAULT_PAGE_SIZE, MAX_ITEMS_PAGE_SIZE)
        numbers = (pages.number, pages.number)
        first = pages.place(request.page_token, request.batch_id, *numbers) or (0, 0)
        batch = await self._batch(request.batch_id)
        found = [
            item
            for item in batch.items
            if position(item) >= first
            and request.state in (ItemState.ITEM_STATE_UNSPECIFIED, item.state)
        ]
        response = ListBatchItemsResponse(items=found[:size])
        if len(found) > size:
            response.next_page_token = pages.token(request.batch_id, *position(found[size]))
        return response

    async def WatchBatch(
        self, request: WatchBatchRequest, context: Context
    ) -> AsyncIterator[WatchBatchResponse]:
        if request.after_revision < 0:
            sentence = "A revision is 0 or more."
            raise InvalidRequest.of("after_revision", "REVISION_NEGATIVE", sentence)
        async for response in self._gateway.watches.follow(
            current_caller.get().user, request.batch_id, request.after_revision
        ):
            yield response

    async def CancelBatch(
        self, request: CancelBatchRequest, context: Context
    ) -> CancelBatchResponse:
        await self._store.cancel(current_caller.get().user, request.batch_id, request.item_ids)
        return CancelBatchResponse(batch=await self._batch(request.batch_id))

    async def RetryBatch(self, request: RetryBatchRequest, context: Context) -> RetryBatchResponse:
        allowance = self._tier().allowance
        await self._store.retry(current_caller.get().user, request.batch_id, allowance)
        return RetryBatchResponse(batch=await self._batch(request.batch_id))

    async def DeleteBatch(
        self, request: DeleteBatchRequest, context: Context
    ) -> DeleteBatchResponse:
        await self._store.delete(current_caller.get().user, request.batch_id)
        return DeleteBatchResponse()

    async def GetTranscript(
        self, request: GetTranscriptRequest, context: Context
    ) -> GetTranscriptResponse:
        packed = await self._store.transcript(current_caller.get().user, request.transcription_id)
        transcript = await asyncio.to_thread(_named, packed, request.transcription_id)
        part, token = transcripts.page(transcript, request.page_size, request.page_token)
        return GetTranscriptResponse(transcript=part, next_page_token=token)

    async def ExportTranscript(
        self, request: ExportTranscriptRequest, context: Context
    ) -> AsyncIterator[ExportTranscriptResponse]:
        packed = await self._store.transcript(current_caller.get().user, request.transcription_id)
        exported = await asyncio.to_thread(_export, packed, request)
        yield ExportTranscriptResponse(
            data=exported.data[:EXPORT_CHUNK_BYTES],
            media_type=exported.media_type,
            file_name=exported.file_name,
        )
        for start in range(EXPORT_CHUNK_BYTES, len(exported.data), EXPORT_CHUNK_BYTES):
            yield ExportTranscriptResponse(data=exported.data[start : start + EXPORT_CHUNK_BYTES])

    async def GetQuota(self, request: GetQuotaRequest, context: Context) -> GetQuotaResponse:
        caller, tier = current_caller.get(), self._tier()
        standing = await self._gateway.ledger.standing(caller.user, tier.allowance)
        return GetQuotaResponse(quota=quota(caller.tier, tier, standing))

    async def ListModels(self, request: ListModelsRequest, context: Context) -> ListModelsResponse:
        return ListModelsResponse(models=await self._gateway.models.listed(self._gateway.pool))

    async def _batch(self, batch_id: str, *, with_items: bool = True) -> Batch:
        stored = await self._store.batch(current_caller.get().user, batch_id, with_items=with_items)
        return self._gateway.meter.fill(stored.batch, stored.tally, int(time.time() * 1000))

    def _tier(self) -> Tier:
        return tiers.named(self._gateway.tiers, current_caller.get().tier)

    def _limits(self, tier: Tier) -> Limits:
        return Limits(
            max_videos=tier.videos_per_batch,
            max_concurrent=tier.max_concurrent,
            default_max_concurrent=min(DEFAULT_MAX_CONCURRENT, tier.max_concurrent),
            default_model=self._gateway.models.default,
            http_webhooks=self._gateway.http_webhooks,
            file_urls=self._gateway.file_urls,
        )

    def _new_batch(
        self, checked: CheckedBatch, tier: Tier, request_id: str, body: bytes
    ) -> NewBatch:
        batch = Batch(
            batch_id=ids.new_batch_id(),
            options=checked.options,
            display_name=checked.display_name,
            annotations=checked.annotations,
        )
        items = [_new_item(batch.batch_id, *numbered) for numbered in enumerate(checked.videos)]
        keep_ms = checked.ttl_ms or self._gateway.retention_ms
        return NewBatch(
            batch,
            items,
            request_id,
            body,
            keep_ms,
            weight=tier.weight,
            max_total=tier.expanded_videos_per_batch if checked.options.expand_playlists else None,
            allowance=tier.allowance,
            trace=traceparent(),
        )


def _new_item(batch_id: str, index: int, video: VideoSpec) -> tuple[BatchItem, TranscribeRequest]:
    item_id = ids.item_id(batch_id, index)
    shown = BatchItem(
        item_id=item_id,
        index=index,
        custom_id=video.custom_id,
        url=video.url,
        language=video.language,
        model=video.model,
    )
    work = TranscribeRequest(
        task_id=item_id,
        url=video.url,
        language=video.language,
        model=video.model,
        options=video.options,
    )
    return shown, work


def _preview(new: NewBatch) -> Batch:
    """Return the batch as it would be created, without ids."""
    batch = Batch()
    batch.CopyFrom(new.batch)
    batch.ClearField("batch_id")
    for shown, _ in new.items:
        item = batch.items.add()
        item.CopyFrom(shown)
        item.ClearField("item_id")
        item.state = ItemState.ITEM_STATE_PENDING
    return batch


def _named(packed: bytes, transcription_id: str) -> Transcript:
    transcript = transcripts.unpack(packed)
    transcript.transcription_id = transcription_id  # One that is reused has that of its source.
    return transcript


def _export(packed: bytes, request: ExportTranscriptRequest) -> transcripts.Exported:
    return transcripts.export(
        _named(packed, request.transcription_id),
        request.format,
        request.max_line_length,
        request.max_line_count,
    )
