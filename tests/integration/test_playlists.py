"""Playlists from CreateBatch to their end, over real sockets and scripted transcribers."""

import asyncio

from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    ResolveSourceRequest,
    ResolveSourceResponse,
)
from batchscribe.v1.batch_pb2 import Batch, BatchOptions, BatchState, ItemError, ItemState
from batchscribe.v1.batch_service_pb2 import (
    CancelBatchRequest,
    GetQuotaRequest,
    ListBatchItemsRequest,
)

from gateway.document import document
from tests.running_gateway import METADATA, RunningGateway, running_gateway
from tests.scripted_transcriber import (
    ScriptedTranscriber,
    one_video,
    playlist,
    reusable,
    running,
)
from tests.support import wait_until

LIST = "http://media.test/list"
REQUEST_ID = "7f2c1e0a-5d0b-4c4e-9a51-0c6f5e1d2b3a"
EXPANDING = BatchOptions(expand_playlists=True)


async def lists(request: ResolveSourceRequest) -> ResolveSourceResponse:
    """What there is: one playlist of three videos, one of which comes twice."""
    if request.url != LIST:
        return await one_video(request)
    return playlist("http://media.test/a", "http://media.test/b", "http://media.test/a")


def told(batch: Batch) -> list[tuple[int, int, str]]:
    return [(item.index, item.playlist.place, item.url) for item in batch.items]


GROWN = [
    (0, 0, "http://media.test/0"),
    (1, 1, "http://media.test/a"),
    (1, 2, "http://media.test/b"),
    (1, 3, "http://media.test/a"),
    (2, 0, "http://media.test/2"),
]


async def ask(gateway: RunningGateway, **fields: object) -> Batch:
    urls = ("http://media.test/0", LIST, "http://media.test/2")
    return await gateway.create(*urls, options=EXPANDING, **fields)


async def test_a_playlist_becomes_its_videos(redis_url: str) -> None:
    """Each video of a playlist is an item in its place; a replay returns the grown batch."""
    async with (
        running(ScriptedTranscriber(resolve=lists)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await ask(gateway, request_id=REQUEST_ID)
        assert (batch.progress.total, batch.progress.unresolved) == (3, 3)
        ended = await gateway.ended(batch.batch_id)
        again = await ask(gateway, request_id=REQUEST_ID)
    assert told(ended) == told(again) == GROWN
    assert ended.state == BatchState.BATCH_STATE_SUCCEEDED
    assert (ended.progress.total, ended.progress.unresolved) == (5, 0)
    assert (ended.items[1].playlist.url, ended.items[1].playlist.title) == (LIST, "A list")
    assert transcriber.seen["http://media.test/a"] == 2
    assert transcriber.resolved.total() == 3, "a video of a playlist is no playlist"
    assert [item.attempt_count for item in ended.items] == [1] * 5


async def test_a_watch_resumes_in_the_middle_of_an_expansion(redis_url: str) -> None:
    """Who watches again after each event is told the same as who watches through."""
    async with (
        running(ScriptedTranscriber(resolve=lists)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await ask(gateway)
        await gateway.ended(batch.batch_id)
        whole = [event async for event in gateway.watch(batch.batch_id, after=1)]
        pieces = [
            await anext(gateway.watch(batch.batch_id, after=event.revision - 1)) for event in whole
        ]
    assert [event.item_changed for event in pieces] == [event.item_changed for event in whole]
    totals = [event.progress.total for event in whole]
    assert sorted(totals) == totals, "it only grows"
    assert {3, 4, 5} == set(totals)
    known = {item.item_id for item in batch.items}
    for event in whole:
        known |= {event.item_changed.item_id} - {""}
        assert len(known) == event.progress.total, "every item was told when it was counted"


async def test_pages_and_the_rest_document_follow_the_order_of_the_batch(redis_url: str) -> None:
    """Items come in the order of the request, a playlist's videos in its place."""
    async with (
        running(ScriptedTranscriber(resolve=lists)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await ask(gateway)
        ended = await gateway.ended(batch.batch_id)
        request = ListBatchItemsRequest(batch_id=batch.batch_id, page_size=2)
        found: list[str] = []
        while True:
            page = await gateway.stub.ListBatchItems(request, metadata=METADATA)
            found += [item.item_id for item in page.items]
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
    assert found == [item.item_id for item in ended.items]
    plan = document(ended)
    assert (plan.total_videos, plan.completed, plan.progress_percentage) == (5, 5, 100.0)
    assert [result.video_index for result in plan.results] == [0, 1, 1, 1, 2]
    assert [result.youtube_url for result in plan.results] == [url for _, _, url in GROWN]


async def test_known_videos_of_a_playlist_are_not_transcribed_again(redis_url: str) -> None:
    """With reuse_results a playlist costs only what is new in it."""
    options = BatchOptions(expand_playlists=True, reuse_results=True)
    async with (
        running(ScriptedTranscriber(reusable, resolve=lists)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        await gateway.ended((await gateway.create("http://media.test/a")).batch_id)
        batch = await gateway.create(LIST, options=options)
        ended = await gateway.ended(batch.batch_id)
        quota = (await gateway.stub.GetQuota(GetQuotaRequest(), metadata=METADATA)).quota
    assert [bool(item.reused_from) for item in ended.items] == [True, False, True]
    assert transcriber.seen == {"http://media.test/a": 1, "http://media.test/b": 1}
    assert (quota.videos_used, quota.videos_reserved) == (2, 0)


async def test_a_source_that_cannot_be_resolved_fails_like_a_video(redis_url: str) -> None:
    """A passing failure is tried again, one for good ends the item, for the source's reason."""
    asked = 0

    async def broken(request: ResolveSourceRequest) -> ResolveSourceResponse:
        nonlocal asked
        asked += 1
        reason = "SOURCE_FETCH_FAILED" if asked == 1 else "PLAYLIST_EMPTY"
        return ResolveSourceResponse(error=ItemError(reason=reason, retryable=asked == 1))

    async with (
        running(ScriptedTranscriber(resolve=broken)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(LIST, options=EXPANDING)
        ended = await gateway.ended(batch.batch_id)
    (item,) = ended.items
    assert (item.state, item.error.reason) == (ItemState.ITEM_STATE_FAILED, "PLAYLIST_EMPTY")
    assert [attempt.reason for attempt in item.attempts] == [
        "SOURCE_FETCH_FAILED",
        "PLAYLIST_EMPTY",
    ]
    assert not transcriber.seen


async def test_cancelling_stops_the_look_at_a_playlist(redis_url: str) -> None:
    """A cancelled batch does not wait for a site that lists a playlist slowly."""
    is_cut = asyncio.Event()

    async def never(_: ResolveSourceRequest) -> ResolveSourceResponse:
        try:
            await asyncio.Event().wait()
        finally:
            is_cut.set()
        raise AssertionError

    transcriber = ScriptedTranscriber(resolve=never)
    async with (
        running(transcriber),
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(LIST, options=EXPANDING)
        await wait_until(lambda: transcriber.resolved[LIST])
        request = CancelBatchRequest(batch_id=batch.batch_id)
        await gateway.stub.CancelBatch(request, metadata=METADATA)
        ended = await gateway.ended(batch.batch_id)
        await asyncio.wait_for(is_cut.wait(), 5)
    assert ended.state == BatchState.BATCH_STATE_CANCELLED
    assert not transcriber.seen


async def test_without_the_option_nothing_is_resolved(redis_url: str) -> None:
    """A batch that does not expand playlists asks for its videos at once."""
    async with (
        running(ScriptedTranscriber(resolve=lists)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(LIST)
        assert (batch.progress.unresolved, batch.items[0].unresolved) == (0, False)
        await gateway.ended(batch.batch_id)
    assert not transcriber.resolved
    assert transcriber.seen[LIST] == 1
