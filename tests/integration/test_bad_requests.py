"""Bad requests to a real gateway: one clear status each, and nothing created."""

from typing import Any

import grpc
import pytest
from batchscribe.v1.batch_service_pb2 import (
    CancelBatchRequest,
    CreateBatchRequest,
    GetBatchRequest,
    GetTranscriptRequest,
    ListBatchesRequest,
    ListBatchesResponse,
    ListBatchItemsRequest,
    WatchBatchRequest,
)
from google.rpc import error_details_pb2

from servicekit import status
from tests.running_gateway import KEY, METADATA, RunningGateway, running_gateway

UUID = "7f2c1e0a-5d0b-4c4e-9a51-0c6f5e1d2b3a"
GOOD = {"url": "https://media.test/a.mp4"}

BAD_CREATES: dict[str, tuple[Any, str, str | None]] = {
    "no videos": ({"videos": []}, "videos", "VIDEOS_EMPTY"),
    "501 videos": ({"videos": [GOOD] * 501}, "videos", "VIDEOS_TOO_MANY"),
    "bad scheme": ({"videos": [{"url": "file:///etc/passwd"}]}, "videos[0].url", None),
    "no host": ({"videos": [GOOD, {"url": "https://"}]}, "videos[1].url", None),
    "unknown language": ({"videos": [GOOD | {"language": "xx"}]}, "videos[0].language", None),
    "unknown model": ({"videos": [GOOD | {"model": "huge"}]}, "videos[0].model", "MODEL_UNKNOWN"),
    "max_concurrent": (
        {"videos": [GOOD], "options": {"max_concurrent": 11}},
        "options.max_concurrent",
        None,
    ),
    "custom_id twice": (
        {"videos": [GOOD | {"custom_id": "a"}] * 2},
        "videos[0].custom_id",
        "CUSTOM_ID_DUPLICATE",
    ),
    "malformed request_id": (
        {"videos": [GOOD], "request_id": "1"},
        "request_id",
        "REQUEST_ID_MALFORMED",
    ),
}


def violations(error: grpc.aio.AioRpcError) -> dict[str, str]:
    found = status.from_error(error)
    bad = error_details_pb2.BadRequest()
    assert found is not None
    assert any(detail.Unpack(bad) for detail in found.details)
    return {violation.field: violation.reason for violation in bad.field_violations}


async def batches(gateway: RunningGateway) -> ListBatchesResponse:
    return await gateway.stub.ListBatches(ListBatchesRequest(), metadata=METADATA)


@pytest.mark.parametrize("case", BAD_CREATES)
async def test_bad_create_names_field_and_reason(redis_url: str, case: str) -> None:
    """A bad CreateBatch is INVALID_ARGUMENT with the field's path, and creates nothing."""
    fields, path, reason = BAD_CREATES[case]
    async with running_gateway(redis_url) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.stub.CreateBatch(CreateBatchRequest(**fields), metadata=METADATA)
        assert not (await batches(gateway)).batches
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = violations(caught.value)
    assert path in found
    assert reason in (None, found[path])


async def test_all_violations_come_at_once(redis_url: str) -> None:
    """Three mistakes are one answer with three violations."""
    videos: Any = [{"url": "ftp://x/y"}, GOOD | {"language": "klingon"}]
    request = CreateBatchRequest(videos=videos, request_id="no")
    async with running_gateway(redis_url) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.stub.CreateBatch(request, metadata=METADATA)
    assert violations(caught.value).keys() == {"videos[0].url", "videos[1].language", "request_id"}


async def test_request_id_with_another_body(redis_url: str) -> None:
    """A request_id gives its batch again, or ALREADY_EXISTS for another body; one batch is made."""
    async with running_gateway(redis_url) as gateway:
        first = await gateway.create("http://x/1", request_id=UUID)
        assert (await gateway.create("http://x/1", request_id=UUID)).batch_id == first.batch_id
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.create("http://x/2", request_id=UUID)
        assert len((await batches(gateway)).batches) == 1
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert status.reason_of(caught.value) == "REQUEST_ID_REUSED"


async def test_validate_only_creates_nothing(redis_url: str) -> None:
    """validate_only answers with the batch as it would be, without an id."""
    async with running_gateway(redis_url) as gateway:
        preview = await gateway.create("http://x/1", validate_only=True)
        assert not (await batches(gateway)).batches
    assert preview.batch_id == ""
    assert preview.options.max_concurrent == 3
    assert preview.items[0].model == "tiny.en"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "TOKEN_MISSING"),
        ("Bearer wrong", "TOKEN_INVALID"),
        (KEY, "TOKEN_INVALID"),
        (f"Basic {KEY}", "TOKEN_INVALID"),
    ],
)
async def test_no_or_wrong_key(redis_url: str, header: str | None, reason: str) -> None:
    """Without a known key every RPC, unary or streaming, is UNAUTHENTICATED."""
    metadata = (("authorization", header),) if header else ()
    async with running_gateway(redis_url) as gateway:

        async def watch() -> None:
            async for _ in gateway.stub.WatchBatch(WatchBatchRequest(), metadata=metadata):
                pass

        async def list_batches() -> None:
            await gateway.stub.ListBatches(ListBatchesRequest(), metadata=metadata)

        for call in (watch, list_batches):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call()
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert status.reason_of(caught.value) == reason


async def test_unknown_ids_and_bad_pages(redis_url: str) -> None:
    """Unknown ids are NOT_FOUND; negative page sizes and strange tokens INVALID_ARGUMENT."""
    async with running_gateway(redis_url) as gateway:
        stub = gateway.stub
        expected: list[tuple[Any, Any, str]] = [
            (stub.GetBatch, GetBatchRequest(batch_id="batch_1"), "BATCH_NOT_FOUND"),
            (
                stub.GetTranscript,
                GetTranscriptRequest(transcription_id="trans_1"),
                "TRANSCRIPT_NOT_FOUND",
            ),
            (stub.ListBatches, ListBatchesRequest(page_size=-1), "INVALID_REQUEST"),
            (stub.ListBatches, ListBatchesRequest(page_token="?"), "INVALID_REQUEST"),
            (stub.ListBatchItems, ListBatchItemsRequest(page_token="?"), "INVALID_REQUEST"),
            (stub.ListBatchItems, ListBatchItemsRequest(page_size=-1), "INVALID_REQUEST"),
        ]
        for call, request, reason in expected:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(request, metadata=METADATA)
            assert status.reason_of(caught.value) == reason


@pytest.mark.parametrize("item_id", ["", "\0", "x" * 100_000])
async def test_item_ids_that_cannot_be_are_not_found(redis_url: str, item_id: str) -> None:
    """An item id of no length, of strange bytes or of any length is just not found."""
    async with running_gateway(redis_url) as gateway:
        batch = await gateway.create("http://x/1")
        request = CancelBatchRequest(batch_id=batch.batch_id, item_ids=[item_id])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.stub.CancelBatch(request, metadata=METADATA)
    assert status.reason_of(caught.value) == "ITEM_NOT_FOUND"


async def test_redis_away_is_unavailable_with_retry_info() -> None:
    """Without Redis a call is UNAVAILABLE and says when to try again."""
    async with running_gateway("unix:///nowhere/redis.sock") as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.create("http://x/1")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    found = status.from_error(caught.value)
    assert found is not None
    assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in found.details)
