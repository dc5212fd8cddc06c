"""What a gateway counts, as it is scraped."""

import asyncio
from collections.abc import Iterator

import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest, TranscribeResponse
from batchscribe.v1.batch_pb2 import BatchOptions
from batchscribe.v1.batch_service_pb2 import CancelBatchRequest

from servicekit.recording import recording
from servicekit.serve import CannotListen
from servicekit.telemetry import Telemetry
from tests.running_gateway import METADATA, running_gateway
from tests.scrape import scrape
from tests.scripted_transcriber import ScriptedTranscriber, failed, running, succeeded, waiting
from tests.support import wait_until
from tests.webhook_receiver import receiving


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with recording("test", "127.0.0.1:0") as telemetry:
        yield telemetry


async def by_name(me: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
    return failed() if "bad" in request.url else succeeded(30)


async def test_the_plans_metrics_are_scraped_under_its_names(
    redis_url: str, telemetry: Telemetry
) -> None:
    """Batches, their sizes and times, and videos by how they ended, as the plan names them."""
    async with (
        running(ScriptedTranscriber(by_name)) as transcriber,
        running_gateway(redis_url, [transcriber.address], telemetry) as gateway,
    ):
        batch = await gateway.create("http://x/1", "http://x/2", "http://x/bad")
        await gateway.ended(batch.batch_id)
        await wait_until(lambda: has_counted(telemetry, 1))
        found = await scrape(telemetry.metrics_address)
    assert found["batch_requests_total", "user_tier=unlimited"] == 1
    assert found["batch_videos_processed_total", "status=success"] == 2
    assert found["batch_videos_processed_total", "status=failed"] == 1
    bounds = [labels[0] for name, *labels in found if name == "batch_size_videos_bucket"]
    assert bounds[:4] == ["le=1", "le=2", "le=5", "le=10"]
    assert found["batch_size_videos_bucket", "le=2"] == 0
    assert found["batch_size_videos_bucket", "le=5"] == 1
    assert found["batch_processing_duration_seconds_bucket", "le=+Inf"] == 1


async def has_counted(telemetry: Telemetry, batches: int) -> bool:
    """Say whether so many batches have ended by the count."""
    found = await scrape(telemetry.metrics_address)
    return found.get(("batch_processing_duration_seconds_count",)) == batches


async def have_ended(gateways: list[Telemetry], videos: int) -> bool:
    """Say whether so many videos have ended by what all count together; never more."""
    counted = 0.0
    for gateway in gateways:
        for (name, *_), value in (await scrape(gateway.metrics_address)).items():
            counted += value * (name == "batch_videos_processed_total")
    assert counted <= videos
    return counted == videos


async def test_every_end_is_counted_once_over_all_gateways(
    redis_url: str, telemetry: Telemetry
) -> None:
    """Two gateways and one cancelled batch: what each of them counts adds up."""
    with recording("test", "127.0.0.1:0") as other:
        async with (
            running(ScriptedTranscriber(by_name)) as transcriber,
            running_gateway(redis_url, [transcriber.address], telemetry) as gateway,
            running_gateway(redis_url, [], other) as idle,
        ):
            batch = await gateway.create(*(f"http://x/{n}" for n in range(6)))
            await idle.ended(batch.batch_id)
            unwanted = await idle.create("http://x/1", "http://x/bad")
            cancel = CancelBatchRequest(batch_id=unwanted.batch_id)
            await idle.stub.CancelBatch(cancel, metadata=METADATA)
            await idle.ended(unwanted.batch_id)

            assert await wait_until(lambda: have_ended([telemetry, other], videos=8))


async def test_what_is_going_on_is_scraped(redis_url: str, telemetry: Telemetry) -> None:
    """Slots, watches, the queue and its audio, calls, attempts and webhooks have their figures."""
    async with (
        receiving() as receiver,
        running(ScriptedTranscriber(by_name, slots=3)) as transcriber,
        running_gateway(
            redis_url, [transcriber.address], telemetry, webhook_allow_http=True
        ) as gateway,
    ):
        options = BatchOptions(notify_webhook=receiver.url)
        batch = await gateway.create("http://x/1", "http://x/bad", options=options)
        await gateway.ended(batch.batch_id)
        await wait_until(lambda: receiver.received)
        await wait_until(lambda: has_counted(telemetry, 1))
        found = await scrape(telemetry.metrics_address)
    create = "rpc_method=batchscribe.v1.BatchService/CreateBatch"
    ok = "rpc_response_status_code=OK"
    assert found["batchscribe_slots",] == 3
    assert found["batchscribe_transcribers",] == 1
    assert found["batchscribe_attempt_duration_seconds_count", "outcome=OK"] == 1
    assert found["batchscribe_attempt_duration_seconds_count", "outcome=NO_AUDIO"] == 1
    assert found["batchscribe_audio_transcribed_seconds_total",] == 30
    assert found["batchscribe_webhook_attempts_total", "outcome=delivered"] == 1
    assert found["rpc_server_call_duration_seconds_count", create, ok, "rpc_system_name=grpc"] == 1
    assert ("batchscribe_queue_items",) in found
    assert ("batchscribe_queue_audio_seconds",) in found


async def test_a_slot_is_taken_as_long_as_its_video(redis_url: str, telemetry: Telemetry) -> None:
    """Slots count as taken while calls are open there, whatever a transcriber still tells of."""
    gate = asyncio.Event()

    async def is_taken(slots: int) -> bool:
        found = await scrape(telemetry.metrics_address)
        return found["batchscribe_slots_taken",] == slots

    async with (
        running(ScriptedTranscriber(waiting(gate))) as transcriber,
        running_gateway(redis_url, [transcriber.address], telemetry) as gateway,
    ):
        batch = await gateway.create("http://x/1", "http://x/2")
        await wait_until(lambda: is_taken(2))
        gate.set()
        await gateway.ended(batch.batch_id)
        await wait_until(lambda: is_taken(0))


async def test_a_taken_address_for_metrics_is_refused_in_words(telemetry: Telemetry) -> None:
    """Who sets an address that somebody else has is told so."""
    twice = recording("test", telemetry.metrics_address)
    with pytest.raises(CannotListen, match="cannot be listened on"), twice:
        pass
