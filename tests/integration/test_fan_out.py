"""Batches from CreateBatch to their end, over real sockets and scripted transcribers."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial

from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    TaskStage,
    TranscribeRequest,
    TranscribeResponse,
)
from batchscribe.v1.batch_pb2 import Batch, BatchOptions, BatchState, ItemState
from batchscribe.v1.batch_service_pb2 import (
    CancelBatchRequest,
    GetTranscriptRequest,
    ListBatchesRequest,
    ListModelsRequest,
)

from gateway.dispatch import POLL_SECONDS
from tests.redis_proxy import proxied
from tests.running_gateway import METADATA, running_gateway
from tests.scripted_transcriber import (
    ScriptedTranscriber,
    failed,
    for_ever,
    running,
    succeeded,
    waiting,
)
from tests.support import wait_until
from tests.valkey import Valkey


def urls(count: int) -> list[str]:
    return [f"http://media.test/{index}.mp4" for index in range(count)]


def item_states(batch: Batch) -> list[str]:
    return [ItemState.Name(item.state).removeprefix("ITEM_STATE_") for item in batch.items]


async def test_every_item_of_a_batch_succeeds(redis_url: str) -> None:
    """A batch of ten ends SUCCEEDED, each video was asked for once, each transcript is there."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(*urls(10))
        ended = await gateway.ended(batch.batch_id)
        assert ended.state == BatchState.BATCH_STATE_SUCCEEDED
        assert transcriber.seen == Counter(urls(10))
        for item in ended.items:
            request = GetTranscriptRequest(transcription_id=item.transcription_id)
            found = await gateway.stub.GetTranscript(request, metadata=METADATA)
            assert found.transcript.text == "Hello."
        assert ended.progress.fraction == 1


async def test_work_spreads_over_transcribers_within_max_concurrent(redis_url: str) -> None:
    """Two transcribers share a batch, and never more than max_concurrent videos run."""
    running_now, most = 0, 0

    async def slow(_: ScriptedTranscriber, __: TranscribeRequest) -> TranscribeResponse:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.05)
        running_now -= 1
        return succeeded()

    async with (
        running(ScriptedTranscriber(slow, slots=2)) as one,
        running(ScriptedTranscriber(slow, slots=2)) as two,
        running_gateway(redis_url, [one.address, two.address]) as gateway,
    ):
        batch = await gateway.create(*urls(10), options=BatchOptions(max_concurrent=3))
        ended = await gateway.ended(batch.batch_id)
    assert ended.state == BatchState.BATCH_STATE_SUCCEEDED
    assert most == 3
    assert one.seen
    assert two.seen


async def test_parallel_false_runs_in_order(redis_url: str) -> None:
    """With parallel=false the videos run one at a time in the order given."""
    order: list[str] = []

    async def note(_: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
        order.append(request.url)
        return succeeded()

    async with (
        running(ScriptedTranscriber(note)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(*urls(6), options=BatchOptions(parallel=False))
        assert batch.options.max_concurrent == 1
        await gateway.ended(batch.batch_id)
    assert order == urls(6)
    assert transcriber.most_at_once == 1


async def test_failure_for_good_stops_the_unstarted(redis_url: str) -> None:
    """With continue_on_error=false one bad video skips those behind it."""

    async def second_fails(
        _: ScriptedTranscriber, request: TranscribeRequest
    ) -> TranscribeResponse:
        return failed() if request.url.endswith("/1.mp4") else succeeded()

    async with (
        running(ScriptedTranscriber(second_fails)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        options = BatchOptions(parallel=False, continue_on_error=False)
        batch = await gateway.create(*urls(4), options=options)
        ended = await gateway.ended(batch.batch_id)
    assert item_states(ended) == ["SUCCEEDED", "FAILED", "SKIPPED", "SKIPPED"]
    assert ended.state == BatchState.BATCH_STATE_PARTIALLY_SUCCEEDED
    assert ended.items[1].error.reason == "NO_AUDIO"


async def test_passing_failure_is_tried_again(redis_url: str) -> None:
    """A failure that may pass is retried by itself, and the item says how often it was tried."""

    async def third_time(me: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
        return succeeded() if me.seen[request.url] == 3 else failed("SOURCE", retryable=True)

    async with (
        running(ScriptedTranscriber(third_time)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(*urls(1))
        ended = await gateway.ended(batch.batch_id)
    assert item_states(ended) == ["SUCCEEDED"]
    assert ended.items[0].attempt_count == 3
    assert not ended.items[0].HasField("error")


async def test_attempts_run_out(redis_url: str) -> None:
    """A video that fails every time is FAILED after the allowed number of attempts."""

    async def never(_: ScriptedTranscriber, __: TranscribeRequest) -> TranscribeResponse:
        return failed("SOURCE_FETCH_FAILED", retryable=True)

    async with (
        running(ScriptedTranscriber(never)) as transcriber,
        running_gateway(redis_url, [transcriber.address], max_attempts=3) as gateway,
    ):
        batch = await gateway.create(*urls(1))
        ended = await gateway.ended(batch.batch_id)
    assert ended.items[0].attempt_count == 3
    assert ended.items[0].error.reason == "SOURCE_FETCH_FAILED"


async def test_cancel_stops_running_and_waiting_items(redis_url: str) -> None:
    """CancelBatch reaches the transcriber at once, and the whole batch ends CANCELLED."""
    async with (
        running(ScriptedTranscriber(for_ever)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(*urls(5), options=BatchOptions(max_concurrent=2))
        await wait_until(lambda: len(transcriber.tasks) == 2)
        request = CancelBatchRequest(batch_id=batch.batch_id)
        await gateway.stub.CancelBatch(request, metadata=METADATA)
        ended = await asyncio.wait_for(gateway.ended(batch.batch_id), 2)
    assert item_states(ended) == ["CANCELLED"] * 5
    assert ended.state == BatchState.BATCH_STATE_CANCELLED


async def test_batch_waits_for_a_transcriber(redis_url: str) -> None:
    """With no transcriber up a batch waits PENDING, and starts when one comes."""
    transcriber = ScriptedTranscriber()
    async with running(transcriber):
        address = transcriber.address
    async with running_gateway(redis_url, [address]) as gateway:
        batch = await gateway.create(*urls(2))
        assert batch.state == BatchState.BATCH_STATE_PENDING
        async with running(transcriber, address):
            ended = await gateway.ended(batch.batch_id)
    assert ended.state == BatchState.BATCH_STATE_SUCCEEDED
    assert [item.attempt_count for item in ended.items] == [1, 1]


async def test_vanished_transcriber_costs_no_attempt(redis_url: str) -> None:
    """When a transcriber goes away its items run elsewhere, with no attempt used."""
    bad = ScriptedTranscriber(for_ever)
    async with running(ScriptedTranscriber()) as good, AsyncExitStack() as stack:
        await stack.enter_async_context(running(bad))
        async with running_gateway(redis_url, [bad.address, good.address]) as gateway:
            batch = await gateway.create(*urls(8), options=BatchOptions(max_concurrent=10))
            await wait_until(lambda: len(bad.tasks) > 0)
            await stack.aclose()
            ended = await gateway.ended(batch.batch_id)
    assert item_states(ended) == ["SUCCEEDED"] * 8
    assert {item.attempt_count for item in ended.items} == {1}


async def test_busy_transcriber_costs_no_attempt_and_no_revision(redis_url: str) -> None:
    """A refusal for want of a slot leaves no trace on the item."""
    async with running(ScriptedTranscriber(slots=1)) as transcriber:
        # A task that this gateway knows nothing of holds the one slot.
        transcriber.report(TranscribeRequest(task_id="item_other_0"), TaskStage.TASK_STAGE_FETCHING)
        async with running_gateway(redis_url, [transcriber.address]) as gateway:
            batch = await gateway.create(*urls(1))
            await wait_until(lambda: transcriber.refused)
            transcriber.offer(1)  # Says so: the gateway tries again.
            await wait_until(lambda: transcriber.refused > 1)
            waiting = await gateway.batch(batch.batch_id)
            del transcriber.tasks["item_other_0"]
            ended = await gateway.ended(batch.batch_id)
    assert waiting.revision == batch.revision
    assert ended.items[0].attempt_count == 1


async def test_redis_away_and_back(valkey: Valkey, redis_url: str) -> None:
    """Work goes on while Redis is away, and the result is stored when it is back."""
    may_end = asyncio.Event()

    async with (
        running(ScriptedTranscriber(waiting(may_end))) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(*urls(1))
        await wait_until(lambda: len(transcriber.tasks) == 1)
        valkey.kill()
        may_end.set()
        await wait_until(lambda: not transcriber.tasks)
        valkey.start()
        ended = await wait_until(lambda: gateway.if_ended(batch.batch_id), 20)
    assert item_states(ended) == ["SUCCEEDED"]
    assert sum(transcriber.seen.values()) == 1


async def test_list_pages_through_batches_newest_first(redis_url: str) -> None:
    """ListBatches gives every batch once, newest first, over any page size."""
    async with running_gateway(redis_url) as gateway:
        made = [(await gateway.create(*urls(1))).batch_id for _ in range(5)]
        listed: list[Batch] = []
        token = ""
        while True:
            request = ListBatchesRequest(page_size=2, page_token=token)
            page = await gateway.stub.ListBatches(request, metadata=METADATA)
            listed += page.batches
            token = page.next_page_token
            if not token:
                break
    assert sorted(batch.batch_id for batch in listed) == sorted(made)
    times = [batch.create_time.ToNanoseconds() for batch in listed]
    assert times == sorted(times, reverse=True)


async def test_models_seen_are_listed(redis_url: str) -> None:
    """What transcribers offer can be asked for, with what is loaded and what is the default."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):

        async def base_is_listed() -> bool:
            found = await gateway.stub.ListModels(ListModelsRequest(), metadata=METADATA)
            return {model.name for model in found.models} == {"base", "tiny.en"}

        await wait_until(base_is_listed)
        found = await gateway.stub.ListModels(ListModelsRequest(), metadata=METADATA)
    base, tiny = found.models
    assert (base.multilingual, base.loaded, base.is_default) == (True, False, False)
    assert (tiny.multilingual, tiny.loaded, tiny.is_default) == (False, True, True)


async def test_an_idle_gateway_leaves_claims_to_its_poll(valkey: Valkey) -> None:
    """With nothing to start no claim is made, however often transcribers say how they are."""
    valkey.flush()
    transcriber = ScriptedTranscriber()
    async with (
        proxied(valkey.path) as proxy,
        running(transcriber),
        running_gateway(proxy.url, [transcriber.address]) as gateway,
    ):
        await gateway.ended((await gateway.create(*urls(2))).batch_id)
        claims, begun = proxy.seen["claim"], time.monotonic()
        for _ in range(50):
            told = transcriber.statuses
            transcriber.offer(4)
            await wait_until(partial(transcriber.has_said, told + 1))
        polls = (time.monotonic() - begun) / POLL_SECONDS
    assert proxy.seen["claim"] - claims <= 2 * polls + 5


async def test_a_look_for_work_is_one_claim_for_all_transcribers(valkey: Valkey) -> None:
    """An item costs one claim, however many transcribers there are: nobody looks for no slot."""
    valkey.flush()
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxied(valkey.path))
        members = [
            await stack.enter_async_context(running(ScriptedTranscriber(slots=2))) for _ in range(4)
        ]
        addresses = [member.address for member in members]
        gateway = await stack.enter_async_context(running_gateway(proxy.url, addresses))
        await wait_until(lambda: all(member.statuses for member in members))
        claims, begun = proxy.seen["claim"], time.monotonic()
        batch = await gateway.create(*urls(40), options=BatchOptions(max_concurrent=10))
        await gateway.ended(batch.batch_id)
        polls = (time.monotonic() - begun) / POLL_SECONDS
    assert sum(len(member.seen) for member in members) == 40
    assert proxy.seen["claim"] - claims <= 40 + 2 * polls + 5


def ten_hours() -> TranscribeResponse:
    """A segment of twelve words every five seconds."""
    answer = succeeded(36_000)
    del answer.transcript.segments[:]
    for index in range(7_200):
        segment = answer.transcript.segments.add(index=index, text="All of these twelve " * 3)
        for place in range(12):
            word = segment.words.add(word=" twelve", probability=0.5)
            word.start_offset.FromMilliseconds(index * 5_000 + place * 400)
            word.end_offset.FromMilliseconds(index * 5_000 + place * 400 + 400)
    return answer


async def test_a_transcript_of_ten_hours_arrives_whole(redis_url: str) -> None:
    """With a time for every word it passes each hop, in pages that a default client takes."""
    answer = ten_hours()

    async def speak(_: ScriptedTranscriber, __: TranscribeRequest) -> TranscribeResponse:
        return answer

    async with (
        running(ScriptedTranscriber(speak)) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create(*urls(1))
        (item,) = (await gateway.ended(batch.batch_id)).items
        words, token = 0, ""
        while True:
            request = GetTranscriptRequest(
                transcription_id=item.transcription_id, page_size=2000, page_token=token
            )
            page = await gateway.stub.GetTranscript(request, metadata=METADATA)
            words += sum(len(segment.words) for segment in page.transcript.segments)
            token = page.next_page_token
            if not token:
                break
    assert answer.ByteSize() > 3 * 1024 * 1024
    assert words == 7_200 * 12
