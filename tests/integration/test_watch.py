"""Watches over real sockets: order, resumption, progress, and who may see what."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import grpc
import pytest
import redis.asyncio
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    TaskStage,
    TranscribeRequest,
    TranscribeResponse,
)
from batchscribe.v1.batch_pb2 import BatchOptions, BatchState
from batchscribe.v1.batch_service_pb2 import WatchBatchRequest, WatchBatchResponse

from gateway.errors import NotFound
from gateway.live import LiveProgress
from gateway.progress import ProgressMeter
from gateway.store import BatchStore, WakeStream, connect, keys
from gateway.watch import Watches, WatchTimes
from servicekit.status import reason_of
from tests.running_gateway import METADATA, RunningGateway, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running, succeeded, waiting
from tests.support import free_port, wait_until

STORED = ("snapshot", "item_changed", "batch_changed")


def stored_revisions(responses: Sequence[WatchBatchResponse]) -> list[int]:
    return [r.revision for r in responses if r.WhichOneof("event") in STORED]


async def all_of(
    gateway: RunningGateway, batch_id: str, after: int = 0
) -> list[WatchBatchResponse]:
    return [response async for response in gateway.watch(batch_id, after)]


async def held(gate: asyncio.Event) -> TranscribeResponse:
    await gate.wait()
    return succeeded()


async def test_watch_starts_with_a_snapshot_and_ends_with_the_batch(redis_url: str) -> None:
    """Revisions are dense from the snapshot on; the last event is the batch in its end state."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1", "http://x/2", "http://x/3")
        responses = await all_of(gateway, batch.batch_id)
    first, last = responses[0], responses[-1]
    assert first.WhichOneof("event") == "snapshot"
    assert len(first.snapshot.items) == 3
    revisions = stored_revisions(responses)
    assert revisions == list(range(revisions[0], revisions[-1] + 1))
    ended = last.snapshot if last.HasField("snapshot") else last.batch_changed
    assert ended.state == BatchState.BATCH_STATE_SUCCEEDED
    counts = [
        p.pending + p.fetching + p.transcribing + p.waiting_retry + p.succeeded + p.failed
        for p in (response.progress for response in responses)
    ]
    assert set(counts) == {3}


async def test_resumed_watch_sees_every_change_once(redis_url: str) -> None:
    """A watch cut after every single message and resumed by revision misses and repeats nothing."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1", "http://x/2")
        whole = stored_revisions(await all_of(gateway, batch.batch_id, after=1))
        pieces: list[int] = [1]
        while pieces[-1] < whole[-1]:
            async for response in gateway.watch(batch.batch_id, pieces[-1]):
                pieces.append(response.revision)
                break
    assert pieces[1:] == whole


async def test_watch_of_an_ended_batch(redis_url: str) -> None:
    """Watching what has ended gives the snapshot and OK; resuming at its end just OK."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1")
        ended = await gateway.ended(batch.batch_id)
        (only,) = await all_of(gateway, batch.batch_id)
        assert only.snapshot.state == BatchState.BATCH_STATE_SUCCEEDED
        assert await all_of(gateway, batch.batch_id, after=ended.revision) == []


async def test_revision_ahead_is_out_of_range(redis_url: str) -> None:
    """A cursor from another world is answered with OUT_OF_RANGE and the revision there is."""
    async with running_gateway(redis_url) as gateway:
        batch = await gateway.create("http://x/1")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await all_of(gateway, batch.batch_id, after=99)
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert reason_of(caught.value) == "REVISION_AHEAD"


async def test_a_revision_is_no_less_than_nothing(redis_url: str) -> None:
    """A negative cursor is refused by its field."""
    async with running_gateway(redis_url) as gateway:
        batch = await gateway.create("http://x/1")
        with pytest.raises(grpc.aio.AioRpcError, match="after_revision: A revision is 0 or more"):
            await all_of(gateway, batch.batch_id, after=-1)


async def test_watch_learns_that_redis_lost_its_revisions(redis_url: str) -> None:
    """A watcher that knows more than Redis after a failover is told to begin anew, at once."""
    client: Any = redis.asyncio.Redis.from_url(redis_url)
    gate = asyncio.Event()

    async with (
        running(ScriptedTranscriber(waiting(gate))) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1")
        watch = gateway.watch(batch.batch_id)
        async for response in watch:
            if response.progress.fetching:
                break
        await client.hset(keys.key("batch", "local", batch.batch_id), "revision", batch.revision)
        await client.xtrim(keys.key("events", "local", batch.batch_id), maxlen=batch.revision)
        await client.xadd(keys.key("wake"), {"batches": f"local/{batch.batch_id}"})
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(watch)
        gate.set()
    await client.aclose()
    assert reason_of(caught.value) == "REVISION_AHEAD"


async def test_a_watch_that_is_behind_ends_with_its_deleted_batch(redis_url: str) -> None:
    """Who has not yet been told of the end when the batch is deleted gets NOT_FOUND."""
    client, live = connect(redis_url), LiveProgress()
    store, wakes = BatchStore(client), WakeStream(client)
    watches = Watches(store, wakes, live, ProgressMeter(live), WatchTimes(15, 3600))
    async with running_gateway(redis_url) as gateway:
        batch_id = (await gateway.create("http://x/1")).batch_id
        watch = watches.follow("local", batch_id, 0)
        assert (await anext(watch)).HasField("snapshot")
        await store.cancel("local", batch_id, [])
        await store.delete("local", batch_id)
        with pytest.raises(NotFound):
            await anext(watch)
    await client.aclose()


async def test_progress_comes_while_an_item_runs(redis_url: str) -> None:
    """What a transcriber reports reaches the watcher as progress that never falls."""
    gate = asyncio.Event()

    async def slowly(me: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
        me.report(request, TaskStage.TASK_STAGE_TRANSCRIBING, 30, 100)
        return await held(gate)

    async with (
        running(ScriptedTranscriber(slowly)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1")
        fractions = []
        async for response in gateway.watch(batch.batch_id):
            fractions.append(response.progress.fraction)
            if response.HasField("progress_update"):
                (item,) = response.progress_update.items
                assert item.index == 0
                assert item.fraction == pytest.approx(0.3)
                assert response.progress.audio_processed.seconds == 30
                gate.set()
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


async def test_progress_comes_once_a_second_with_all_that_moved(redis_url: str) -> None:
    """However often transcribers report, and though other items end all the time."""
    arrivals: list[float] = []

    async def busily(me: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
        if "long" not in request.url:
            await asyncio.sleep(0.1)
            return succeeded()
        heard = 0.0
        while len(arrivals) < 3:
            heard += 0.1
            me.report(request, TaskStage.TASK_STAGE_TRANSCRIBING, heard, 100)
            await asyncio.sleep(0.05)
        return succeeded()

    async with (
        running(ScriptedTranscriber(busily)) as transcriber,
        running_gateway(
            redis_url, [transcriber.address], tiers={"unlimited": {"videos_per_batch": 100}}
        ) as gateway,
    ):
        urls = ["http://x/long1", "http://x/long2", *(f"http://x/{n}" for n in range(60))]
        batch = await gateway.create(*urls, options=BatchOptions(max_concurrent=4))
        async for response in gateway.watch(batch.batch_id):
            if response.HasField("progress_update"):
                arrivals.append(asyncio.get_running_loop().time())
                assert {item.index for item in response.progress_update.items} >= {0, 1}
            if len(arrivals) == 3:
                break
    assert len(arrivals) == 3
    pauses = [later - earlier for earlier, later in pairwise(arrivals)]
    assert all(0.9 < pause < 1.6 for pause in pauses), pauses


async def test_quiet_watch_beats(redis_url: str) -> None:
    """A watch with nothing to tell sends heartbeats that carry the revision."""
    async with running_gateway(redis_url, heartbeat_seconds=0.1) as gateway:
        batch = await gateway.create("http://x/1")
        responses = gateway.watch(batch.batch_id)
        beat = await anext(one async for one in responses if one.HasField("heartbeat"))
    assert beat.revision == batch.revision


async def test_old_watch_ends_with_a_word_to_resume(redis_url: str) -> None:
    """A watch ends by age with UNAVAILABLE, a reason, and nothing lost."""
    async with running_gateway(redis_url, watch_max_seconds=0.1) as gateway:
        batch = await gateway.create("http://x/1")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await all_of(gateway, batch.batch_id)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(caught.value) == "WATCH_EXPIRED"


async def test_watch_goes_on_over_a_gateway_restart(redis_url: str) -> None:
    """A watcher whose gateway is restarted resumes and sees every change once."""
    gate, address = asyncio.Event(), f"127.0.0.1:{free_port()}"

    async def first_waits(_: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
        return await held(gate) if request.url.endswith("2") else succeeded()

    seen: list[int] = []

    async def watch_on(gateway: RunningGateway, batch_id: str) -> None:
        cursor = seen[-1] if seen else 0
        async for response in gateway.watch(batch_id, cursor):
            seen.extend(stored_revisions([response]))

    async with running(ScriptedTranscriber(first_waits)) as transcriber:
        async with running_gateway(redis_url, [transcriber.address], listen=address) as gateway:
            options = BatchOptions(parallel=False)
            batch = await gateway.create("http://x/1", "http://x/2", options=options)
            watcher = asyncio.create_task(watch_on(gateway, batch.batch_id))
            await wait_until(lambda: any("x/2" in url for url in transcriber.seen))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watcher
        assert reason_of(caught.value) == "DRAINING"
        gate.set()
        async with running_gateway(redis_url, [transcriber.address], listen=address) as gateway:
            await watch_on(gateway, batch.batch_id)
            ended = await gateway.batch(batch.batch_id)
    assert ended.state == BatchState.BATCH_STATE_SUCCEEDED
    assert seen == list(range(seen[0], ended.revision + 1))


async def test_two_hundred_watchers_of_one_batch(redis_url: str) -> None:
    """Every one of many watchers sees the same changes, each once."""
    gate = asyncio.Event()

    async with (
        running(ScriptedTranscriber(waiting(gate))) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1", "http://x/2")
        watchers = [asyncio.create_task(all_of(gateway, batch.batch_id, 1)) for _ in range(200)]
        await wait_until(lambda: len(transcriber.tasks) == 2)
        gate.set()
        logs = {tuple(stored_revisions(responses)) for responses in await asyncio.gather(*watchers)}
        ended = await gateway.batch(batch.batch_id)
    assert logs == {tuple(range(2, ended.revision + 1))}


async def test_unknown_batch_cannot_be_watched(redis_url: str) -> None:
    """A watch of a batch that is not there is NOT_FOUND."""
    async with running_gateway(redis_url) as gateway:
        request = WatchBatchRequest(batch_id="batch_0")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in gateway.stub.WatchBatch(request, metadata=METADATA):
                pass
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(caught.value) == "BATCH_NOT_FOUND"
