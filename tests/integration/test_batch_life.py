"""What can be done with a batch besides running it: items, rounds, deletion, attempts."""

import grpc
import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest, TranscribeResponse
from batchscribe.v1.batch_pb2 import (
    AttemptResult,
    BatchOptions,
    BatchState,
    ItemState,
    RetryPolicy,
)
from batchscribe.v1.batch_service_pb2 import (
    CancelBatchRequest,
    DeleteBatchRequest,
    ListBatchItemsRequest,
    RetryBatchRequest,
)
from google.protobuf.duration_pb2 import Duration

from servicekit.status import reason_of
from tests.running_gateway import METADATA, RunningGateway, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, failed, for_ever, running, succeeded
from tests.support import wait_until


async def odd_ones_fail(_: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
    is_odd = int(request.url[-1]) % 2 == 1
    return failed() if is_odd else succeeded()


def urls(count: int) -> list[str]:
    return [f"http://media.test/{index}" for index in range(count)]


async def items_in(gateway: RunningGateway, batch_id: str, state: ItemState.ValueType) -> list[int]:
    """Return the indexes of all items in a state, read in pages of one."""
    found: list[int] = []
    request = ListBatchItemsRequest(batch_id=batch_id, state=state, page_size=1)
    while True:
        page = await gateway.stub.ListBatchItems(request, metadata=METADATA)
        found += [item.index for item in page.items]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_items_are_listed_by_state_in_pages(redis_url: str) -> None:
    """ListBatchItems gives every item of a state once, in the order of the batch."""
    async with (
        running(ScriptedTranscriber(odd_ones_fail)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(*urls(6))
        await gateway.ended(batch.batch_id)
        assert await items_in(gateway, batch.batch_id, ItemState.ITEM_STATE_FAILED) == [1, 3, 5]
        every = await items_in(gateway, batch.batch_id, ItemState.ITEM_STATE_UNSPECIFIED)
    assert every == [0, 1, 2, 3, 4, 5]


async def test_retry_runs_the_failed_items_only(redis_url: str) -> None:
    """A new round asks for the failed videos once more and for no other; a watch sees it all."""
    transcriber = ScriptedTranscriber(odd_ones_fail)
    async with (
        running(transcriber),
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(*urls(4))
        ended = await gateway.ended(batch.batch_id)

        async def works(_: ScriptedTranscriber, __: TranscribeRequest) -> TranscribeResponse:
            return succeeded()

        transcriber.script = works
        request = RetryBatchRequest(batch_id=batch.batch_id)
        again = (await gateway.stub.RetryBatch(request, metadata=METADATA)).batch
        assert again.round == 2
        revisions = [r.revision async for r in gateway.watch(batch.batch_id, ended.revision)]
        last = await gateway.batch(batch.batch_id)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.stub.RetryBatch(request, metadata=METADATA)
    assert last.state == BatchState.BATCH_STATE_SUCCEEDED
    assert [transcriber.seen[url] for url in urls(4)] == [1, 2, 1, 2]
    assert revisions == list(range(ended.revision + 1, last.revision + 1))
    assert reason_of(caught.value) == "NO_RETRYABLE_ITEMS"


async def test_a_batch_is_deleted_once_it_has_ended(redis_url: str) -> None:
    """DeleteBatch refuses while the batch runs; afterwards the batch never existed."""
    async with (
        running(ScriptedTranscriber(for_ever)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(*urls(1))
        delete = DeleteBatchRequest(batch_id=batch.batch_id)
        await wait_until(lambda: len(transcriber.tasks) == 1)
        with pytest.raises(grpc.aio.AioRpcError) as running_still:
            await gateway.stub.DeleteBatch(delete, metadata=METADATA)
        cancel = CancelBatchRequest(batch_id=batch.batch_id)
        await gateway.stub.CancelBatch(cancel, metadata=METADATA)
        await gateway.ended(batch.batch_id)
        await gateway.stub.DeleteBatch(delete, metadata=METADATA)
        with pytest.raises(grpc.aio.AioRpcError) as gone:
            await gateway.batch(batch.batch_id)
    assert reason_of(running_still.value) == "BATCH_RUNNING"
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND


async def test_ttl_says_when_a_batch_expires(redis_url: str) -> None:
    """An ended batch says when it will be deleted: its own ttl, else the server's time."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(redis_url, [transcriber.address], retention_days=2) as gateway,
    ):
        own = await gateway.create(*urls(1), ttl=Duration(seconds=3600))
        servers = await gateway.create(*urls(1))
        for batch, seconds in ((own, 3600), (servers, 2 * 24 * 3600)):
            ended = await gateway.ended(batch.batch_id)
            kept_ms = ended.expire_time.ToMilliseconds() - ended.end_time.ToMilliseconds()
            assert kept_ms == seconds * 1000


async def test_batch_brings_its_own_retry_policy_and_timeout(redis_url: str) -> None:
    """max_attempts and item_timeout of the batch hold, and the attempts say what happened."""
    options = BatchOptions(
        retry_policy=RetryPolicy(max_attempts=2, initial_backoff=Duration(nanos=1_000_000)),
        item_timeout=Duration(seconds=1),
    )
    async with (
        running(ScriptedTranscriber(for_ever)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(*urls(1), options=options)
        ended = await gateway.ended(batch.batch_id)
    (item,) = ended.items
    assert item.error.reason == "ITEM_TIMEOUT"
    assert [(a.result, a.reason) for a in item.attempts] == [
        (AttemptResult.ATTEMPT_RESULT_FAILED, "ITEM_TIMEOUT")
    ] * 2


async def test_draining_gateway_hands_its_work_to_the_next(redis_url: str) -> None:
    """A gateway that goes away gives its leases up at once, for the next one to take."""
    async with running(ScriptedTranscriber(for_ever)) as transcriber:
        async with running_gateway(redis_url, [transcriber.address]) as gateway:
            batch = await gateway.create(*urls(1))
            async for response in gateway.watch(batch.batch_id):
                if response.progress.fetching:
                    break
        async with running_gateway(redis_url, [transcriber.address]) as gateway:
            await wait_until(lambda: [t.epoch for t in transcriber.tasks.values()] == [2], 3)
            (item,) = (await gateway.batch(batch.batch_id)).items
    assert item.attempt_count <= 1
    assert [a.reason for a in item.attempts] == ["GATEWAY_DRAINED"]
