"""Results that are known already: asked for again, they cost nothing and are one's own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1 import batch_pb2 as pb
from batchscribe.v1 import batch_service_pb2 as rpc
from batchscribe.v1.transcript_pb2 import Transcript

from gateway import ids
from gateway.store import BatchStore, NewBatch, connect, keys
from tests.running_gateway import METADATA, RunningGateway, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, reusable, running

WATCH, SHORT = "https://www.youtube.com/watch?v=BaW_jenozKc", "https://youtu.be/BaW_jenozKc"
OTHER = "https://media.test/other.mp4"
REUSE = pb.BatchOptions(reuse_results=True)
ONE_VIDEO = {"unlimited": {"monthly_videos": 1}}


@asynccontextmanager
async def deployment(
    redis_url: str, **settings: Any
) -> AsyncIterator[tuple[RunningGateway, ScriptedTranscriber]]:
    async with AsyncExitStack() as stack:
        transcriber = await stack.enter_async_context(running(ScriptedTranscriber(reusable)))
        gateway = await stack.enter_async_context(
            running_gateway(redis_url, [transcriber.address], **settings)
        )
        yield gateway, transcriber


async def done(gateway: RunningGateway, *urls: str, **fields: Any) -> pb.Batch:
    created = await gateway.create(*urls, **fields)
    return await gateway.ended(created.batch_id)


async def transcript(gateway: RunningGateway, item: pb.BatchItem) -> Transcript:
    request = rpc.GetTranscriptRequest(transcription_id=item.transcription_id)
    return (await gateway.stub.GetTranscript(request, metadata=METADATA)).transcript


async def test_known_results_are_there_at_once(redis_url: str) -> None:
    """The same video under another address is SUCCEEDED without work, and names its source."""
    async with deployment(redis_url) as (gateway, transcriber):
        first = await done(gateway, WATCH)
        again = await gateway.create(SHORT, options=REUSE)
        assert again.state == pb.BATCH_STATE_SUCCEEDED, "there was nothing to wait for"
        (source,), (item,) = first.items, again.items
        assert item.reused_from == source.item_id
        assert item.transcription_id != source.transcription_id
        assert (item.title, item.audio_duration) == (source.title, source.audio_duration)
        copy = await transcript(gateway, item)
        assert copy.transcription_id == item.transcription_id
        assert copy.text == (await transcript(gateway, source)).text
        assert transcriber.seen == {WATCH: 1}


async def test_what_is_reused_is_told_to_watchers(redis_url: str) -> None:
    """A watch replays the whole life of a batch that ended when it was made."""
    async with deployment(redis_url) as (gateway, _):
        await done(gateway, WATCH)
        batch = await gateway.create(WATCH, options=REUSE)
        told = [event async for event in gateway.watch(batch.batch_id, after=1)]
    (item,) = [event.item_changed for event in told if event.HasField("item_changed")]
    assert (item.state, item.reused_from) == (pb.ITEM_STATE_SUCCEEDED, batch.items[0].reused_from)
    assert item.transcription_id == batch.items[0].transcription_id
    assert told[-1].batch_changed.state == pb.BATCH_STATE_SUCCEEDED
    assert [event.revision for event in told] == list(range(2, batch.revision + 1))


async def test_only_the_rest_is_transcribed_and_counted(redis_url: str) -> None:
    """In a batch of known and new videos the new ones run, and they alone use the quota."""
    async with deployment(redis_url, tiers={"unlimited": {"monthly_videos": 2}}) as (gateway, _):
        await done(gateway, WATCH)
        batch = await done(gateway, SHORT, OTHER, WATCH, options=REUSE)
        assert [bool(item.reused_from) for item in batch.items] == [True, False, True]
        assert batch.state == pb.BATCH_STATE_SUCCEEDED
        quota = (await gateway.stub.GetQuota(rpc.GetQuotaRequest(), metadata=METADATA)).quota
    assert (quota.videos_used, quota.videos_reserved) == (2, 0)
    assert quota.audio_used.seconds == 4


async def test_nothing_is_reused_unasked(redis_url: str) -> None:
    """Without the option a video is transcribed anew, and can be reused by the next batch."""
    async with deployment(redis_url) as (gateway, transcriber):
        await done(gateway, WATCH)
        second = await done(gateway, WATCH)
        assert transcriber.seen == {WATCH: 2}
        third = await gateway.create(WATCH, options=REUSE)
    assert third.items[0].reused_from == second.items[0].item_id


DIFFERENCES: dict[str, Callable[[pb.VideoSpec], None]] = {
    "language": lambda video: setattr(video, "language", "en"),
    "words": lambda video: setattr(video.options, "word_timestamps", True),
    "prompt": lambda video: setattr(video.options, "initial_prompt", "Names."),
}


@pytest.mark.parametrize("difference", DIFFERENCES)
async def test_another_wish_is_another_job(redis_url: str, difference: str) -> None:
    """A video asked for in another way is transcribed."""
    async with deployment(redis_url) as (gateway, transcriber):
        await done(gateway, WATCH)
        video = pb.VideoSpec(url=WATCH)
        DIFFERENCES[difference](video)
        request = rpc.CreateBatchRequest(videos=[video], options=REUSE)
        created = (await gateway.stub.CreateBatch(request, metadata=METADATA)).batch
        batch = await gateway.ended(created.batch_id)
        assert not batch.items[0].reused_from
        assert transcriber.seen == {WATCH: 2}


async def test_a_copy_outlives_its_source(redis_url: str) -> None:
    """Deleting the first batch takes nothing from the second, which becomes the source."""
    async with deployment(redis_url) as (gateway, transcriber):
        first = await done(gateway, WATCH)
        second = await gateway.create(WATCH, options=REUSE)
        request = rpc.DeleteBatchRequest(batch_id=first.batch_id)
        await gateway.stub.DeleteBatch(request, metadata=METADATA)
        assert (await transcript(gateway, second.items[0])).text
        third = await gateway.create(WATCH, options=REUSE)
        assert third.items[0].reused_from == second.items[0].item_id
        assert transcriber.seen == {WATCH: 1}


async def test_deleted_results_are_not_known(redis_url: str) -> None:
    """With the last batch that has it a result is gone, and the index entry too."""
    async with deployment(redis_url) as (gateway, transcriber):
        first = await done(gateway, WATCH)
        request = rpc.DeleteBatchRequest(batch_id=first.batch_id)
        await gateway.stub.DeleteBatch(request, metadata=METADATA)
        redis = connect(redis_url)
        assert await redis.keys(keys.key("result", "*", "*")) == []
        await redis.aclose()
        await done(gateway, WATCH, options=REUSE)
        assert transcriber.seen == {WATCH: 2}


async def test_results_of_others_are_never_reused(redis_url: str) -> None:
    """What another user had transcribed is transcribed again."""
    async with deployment(redis_url) as (gateway, _):
        batch = await done(gateway, WATCH)
        redis = connect(redis_url)
        store = BatchStore(redis)
        theirs = pb.Batch(
            batch_id=ids.new_batch_id(), options=pb.BatchOptions(reuse_results=True, parallel=True)
        )
        work = TranscribeRequest(
            task_id=ids.item_id(theirs.batch_id, 0), url=WATCH, language="auto", model="tiny.en"
        )
        work.options.CopyFrom(batch.options.defaults)
        item = pb.BatchItem(item_id=work.task_id, url=WATCH)
        for user, is_known in (("bob", False), ("local", True)):
            await store.create(user, NewBatch(theirs, [(item, work)]))
            stored = await store.batch(user, theirs.batch_id, with_items=True)
            assert bool(stored.batch.items[0].reused_from) == is_known
        await redis.aclose()


async def test_known_results_need_no_quota(redis_url: str) -> None:
    """Whose videos are used up can still have again what they had."""
    async with deployment(redis_url, tiers=ONE_VIDEO) as (gateway, _):
        await done(gateway, WATCH)
        again = await gateway.create(WATCH, WATCH, options=REUSE)
        assert again.state == pb.BATCH_STATE_SUCCEEDED
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway.create(OTHER, options=REUSE)
