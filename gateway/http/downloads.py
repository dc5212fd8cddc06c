"""Transcripts as files: one, or all of a batch in a zip archive that is written as it is sent."""

import asyncio
import zipfile
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import IO, Annotated, cast
from urllib.parse import quote

from batchscribe.v1 import batch_service_pb2
from batchscribe.v1.batch_pb2 import ITEM_STATE_SUCCEEDED, BatchItem
from batchscribe.v1.batch_service_pb2 import (
    ExportTranscriptRequest,
    ExportTranscriptResponse,
    ListBatchItemsRequest,
    TranscriptFormat,
)
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub
from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from gateway.http.calls import CALL_TIMEOUT_SECONDS, ROOT, Batches, Caller, Metadata
from gateway.http.comments import comment_of
from gateway.http.openapi import BatchId
from gateway.http.schemas import short_names

_FORMATS = short_names(batch_service_pb2.DESCRIPTOR.enum_types_by_name["TranscriptFormat"])
_PAGE_ITEMS = 100

# mypy wants members that it can see; these are the contract's.
Format = StrEnum("Format", {name.upper(): name for name in _FORMATS})  # type: ignore[misc]
Format.__doc__ = comment_of("batchscribe.v1.TranscriptFormat")
_TXT = Format("txt")
FormatQuery = Annotated[
    Format,
    Query(alias="format", description=comment_of("batchscribe.v1.ExportTranscriptRequest.format")),
]
TranscriptionId = Annotated[
    str, Path(description=comment_of("batchscribe.v1.GetTranscriptRequest.transcription_id"))
]


def router() -> APIRouter:
    """Return the routes of files."""
    routes = APIRouter(prefix=ROOT, tags=["BatchService"])
    for path, endpoint, name in (
        ("/transcripts/{transcription_id}/export", _transcript, "ExportTranscript"),
        ("/batches/{batch_id}/export", _archive, "ExportBatch"),
    ):
        routes.add_api_route(
            path, endpoint, methods=["GET"], response_class=StreamingResponse, operation_id=name
        )
    return routes


async def _transcript(
    transcription_id: TranscriptionId,
    batches: Batches,
    caller: Caller,
    file_format: FormatQuery = _TXT,
) -> StreamingResponse:
    """Downloads a transcript as txt, srt, vtt, json or jsonl."""
    parts = _export(batches, caller, transcription_id, file_format)
    first = await anext(parts)
    data = _all(first.data, (part.data async for part in parts))
    return StreamingResponse(data, headers=_as_file(first.file_name), media_type=first.media_type)


async def _archive(
    batch_id: BatchId, batches: Batches, caller: Caller, file_format: FormatQuery = _TXT
) -> StreamingResponse:
    """Downloads the transcripts of a batch in a zip archive, in order."""
    pieces = _zipped(batches, caller, file_format, _succeeded(batches, caller, batch_id))
    # While the answer can still be an error: may the caller have this?
    first = await anext(pieces)
    return StreamingResponse(
        _all(first, pieces), headers=_as_file(f"{batch_id}.zip"), media_type="application/zip"
    )


async def _all(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece


async def _zipped(
    batches: BatchServiceStub,
    caller: Metadata,
    file_format: Format,
    items: AsyncIterator[BatchItem],
) -> AsyncIterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_DEFLATED) as archive:
        number = 0
        async for item in items:
            number += 1
            parts = [
                part async for part in _export(batches, caller, item.transcription_id, file_format)
            ]
            data = b"".join(part.data for part in parts)
            name = f"{number:03} {parts[0].file_name}"
            await asyncio.to_thread(archive.writestr, name, data)
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """What a ZipFile writes to when it cannot go back; holds one file at a time."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None: ...

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        data, self._held = bytes(self._held), bytearray()
        return data


def _export(
    batches: BatchServiceStub, caller: Metadata, transcription_id: str, file_format: Format
) -> AsyncIterator[ExportTranscriptResponse]:
    request = ExportTranscriptRequest(
        transcription_id=transcription_id, format=TranscriptFormat.Value(_FORMATS[file_format])
    )
    call = batches.ExportTranscript(request, metadata=caller, timeout=CALL_TIMEOUT_SECONDS)
    return aiter(call)


async def _succeeded(
    batches: BatchServiceStub, caller: Metadata, batch_id: str
) -> AsyncIterator[BatchItem]:
    token = ""
    while True:
        page = await batches.ListBatchItems(
            ListBatchItemsRequest(
                batch_id=batch_id,
                state=ITEM_STATE_SUCCEEDED,
                page_size=_PAGE_ITEMS,
                page_token=token,
            ),
            metadata=caller,
            timeout=CALL_TIMEOUT_SECONDS,
        )
        for item in page.items:
            yield item
        token = page.next_page_token
        if not token:
            return


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
