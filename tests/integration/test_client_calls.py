"""The SDK's unary calls against a real server."""

import asyncio
import uuid

import grpc
import pytest
from batchscribe.client import Client, errors, transcribe
from batchscribe.v1 import batch_pb2, batch_service_pb2, transcript_pb2
from google.rpc import error_details_pb2

from servicekit import status
from tests.scripted_gateway import Connection, ScriptedGateway, history, serving, unavailable
from tests.support import free_port

CREATED = batch_service_pb2.CreateBatchResponse(batch=batch_pb2.Batch(batch_id="batch_1"))


async def test_a_repeated_create_is_the_same_request() -> None:
    """CreateBatch is sent again after UNAVAILABLE, with one request id of version 4."""
    gateway = ScriptedGateway()
    gateway.will_answer("CreateBatch", unavailable(), unavailable(retry_seconds=0.01), CREATED)
    async with serving(gateway) as address, Client(address) as client:
        batch = await client.create_batch(["https://example.com/1.mp4"])
    assert batch.batch_id == "batch_1"
    first, *others = gateway.requests
    assert others == [first, first]
    assert isinstance(first, batch_service_pb2.CreateBatchRequest)
    assert uuid.UUID(first.request_id).version == 4


async def test_the_key_is_sent_with_every_call() -> None:
    """The key travels as a bearer token."""
    gateway = ScriptedGateway()
    gateway.will_answer("ListModels", batch_service_pb2.ListModelsResponse())
    async with serving(gateway) as address, Client(address, "secret") as client:
        await client.models()
    assert gateway.metadata["authorization"] == "Bearer secret"


@pytest.mark.parametrize("key", ["käse", "two\nlines"])
async def test_what_cannot_be_a_key_is_not_sent(key: str) -> None:
    """A key that no header can hold is refused as a wrong one is."""
    with pytest.raises(errors.Unauthenticated):
        Client("127.0.0.1:1", key)


async def test_only_unavailable_is_repeated() -> None:
    """An error that will not pass is raised at once."""
    gateway = ScriptedGateway()
    refusal = status.build(grpc.StatusCode.NOT_FOUND, "BATCH_NOT_FOUND", "No such batch.")
    gateway.will_answer("GetBatch", refusal)
    async with serving(gateway) as address, Client(address) as client:
        with pytest.raises(errors.NotFound, match="No such batch"):
            await client.get_batch("batch_0")
    assert len(gateway.requests) == 1


async def test_an_absent_server_is_given_up_in_time() -> None:
    """Repeating ends within the time set for it."""
    async with Client(f"127.0.0.1:{free_port()}", retry_seconds=0.3) as client:
        async with asyncio.timeout(5):
            with pytest.raises(errors.Unavailable):
                await client.models()


async def test_an_error_carries_its_details() -> None:
    """Reason, metadata and every field violation reach the caller."""
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field="videos[0].url", description="bad"),
        error_details_pb2.BadRequest.FieldViolation(field="videos[1].url", description="worse"),
    ]
    refusal = status.build(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        "Two fields are wrong.",
        metadata={"maxVideosPerBatch": "10"},
        details=[error_details_pb2.BadRequest(field_violations=violations)],
    )
    gateway = ScriptedGateway()
    gateway.will_answer("CreateBatch", refusal)
    async with serving(gateway) as address, Client(address) as client:
        with pytest.raises(errors.InvalidRequest) as raised:
            await client.create_batch(["nonsense", "worse"])
    assert raised.value.reason == "INVALID_REQUEST"
    assert raised.value.metadata == {"maxVideosPerBatch": "10"}
    assert raised.value.violations == (
        errors.FieldViolation("videos[0].url", "bad"),
        errors.FieldViolation("videos[1].url", "worse"),
    )


@pytest.mark.parametrize(("space", "whole"), [(" ", "one two three four"), ("", "onetwothreefour")])
async def test_a_transcript_of_several_pages_is_joined(space: str, whole: str) -> None:
    """``transcript`` returns all segments, and the text as the server would have joined it."""
    gateway = ScriptedGateway()
    first, second = _page(space, "one", "two"), _page(space, "three", "four")
    first.next_page_token = "next"
    gateway.will_answer("GetTranscript", first, second)
    async with serving(gateway) as address, Client(address) as client:
        transcript = await client.transcript("trans_1")
    assert transcript.text == whole
    assert [segment.text for segment in transcript.segments] == ["one", "two", "three", "four"]
    tokens = [r.page_token for r in gateway.requests if hasattr(r, "page_token")]
    assert tokens == ["", "next"]


async def test_batches_are_listed_over_all_pages() -> None:
    """``list_batches`` asks for the next page until there is none."""
    gateway = ScriptedGateway()
    for batch_id, token in (("batch_2", "more"), ("batch_1", "")):
        page = batch_service_pb2.ListBatchesResponse(
            batches=[batch_pb2.Batch(batch_id=batch_id)], next_page_token=token
        )
        gateway.will_answer("ListBatches", page)
    async with serving(gateway) as address, Client(address) as client:
        listed = [batch.batch_id async for batch in client.list_batches()]
    assert listed == ["batch_2", "batch_1"]


async def test_items_are_listed_over_all_pages_in_one_state() -> None:
    """``items`` keeps the state it was asked for from page to page."""
    gateway = ScriptedGateway()
    for item_id, token in (("item_0", "more"), ("item_4", "")):
        page = batch_service_pb2.ListBatchItemsResponse(
            items=[batch_pb2.BatchItem(item_id=item_id)], next_page_token=token
        )
        gateway.will_answer("ListBatchItems", page)
    failed = batch_pb2.ITEM_STATE_FAILED
    async with serving(gateway) as address, Client(address) as client:
        listed = [item.item_id async for item in client.items("batch_1", failed)]
    assert listed == ["item_0", "item_4"]
    requests = [
        (r.state, r.page_token)
        for r in gateway.requests
        if isinstance(r, batch_service_pb2.ListBatchItemsRequest)
    ]
    assert requests == [(failed, ""), (failed, "more")]


async def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    """A format the contract does not have is an error that names those it has."""
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(errors.InvalidRequest, match="txt, srt, vtt, json, jsonl"):
            await client.export("trans_1", "docx")


async def test_the_blocking_generator_works_beside_a_running_loop() -> None:
    """``transcribe`` yields each video with its transcript, called while a loop runs."""
    gateway = ScriptedGateway(history(items=2))
    gateway.will_answer("CreateBatch", CREATED)
    gateway.will_answer("GetTranscript", _page(" ", "one"), _page(" ", "two"))
    async with serving(gateway) as address:
        ended = await asyncio.to_thread(lambda: list(transcribe(["a", "b"], server=address)))
    assert [(item.index, text.text if text else None) for item, text in ended] == [
        (0, "one"),
        (1, "two"),
    ]


async def test_leaving_the_blocking_generator_ends_its_thread() -> None:
    """A loop that is left early does not wait for the batch to end."""
    gateway = ScriptedGateway(history(items=2))
    gateway.connections.append(Connection(messages=3, then=asyncio.Event().wait))
    gateway.will_answer("CreateBatch", CREATED)
    gateway.will_answer("GetTranscript", _page(" ", "one"), _page(" ", "two"))

    def first_only(address: str) -> int:
        for item, _ in transcribe(["a", "b"], server=address):
            return item.index
        return -1

    async with serving(gateway) as address:
        assert await asyncio.to_thread(first_only, address) == 0


def _page(space: str, *texts: str) -> batch_service_pb2.GetTranscriptResponse:
    segments = [transcript_pb2.Segment(text=text) for text in texts]
    transcript = transcript_pb2.Transcript(text=space.join(texts), segments=segments)
    return batch_service_pb2.GetTranscriptResponse(transcript=transcript)
