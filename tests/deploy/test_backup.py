"""The way of docs/operations.md to back Redis up and to restore it, tried."""

import asyncio
import shutil
from collections.abc import Iterator

import pytest
import redis
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest, TranscribeResponse
from batchscribe.v1.batch_pb2 import BatchState, ItemState

from tests.running_gateway import RunningGateway, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running, succeeded
from tests.support import wait_until
from tests.valkey import Valkey

URLS = [f"http://127.0.0.1/{number}.mp3" for number in range(4)]


@pytest.fixture
def other() -> Iterator[Valkey]:
    """A server that was not started yet."""
    server = Valkey()
    yield server
    server.close()


def copy_data(source: Valkey, target: Valkey) -> None:
    """Take a backup of a server at work, and lay it where another will look for its data."""
    with redis.Redis.from_url(source.url) as client:
        client.config_set("auto-aof-rewrite-percentage", 0)
        assert client.info("persistence")["aof_rewrite_in_progress"] == 0
        shutil.copytree(source._folder / "appendonlydir", target._folder / "appendonlydir")
        client.config_set("auto-aof-rewrite-percentage", 100)


async def has_an_end(gateway: RunningGateway, batch_id: str) -> bool:
    items = (await gateway.batch(batch_id)).items
    return any(item.state == ItemState.ITEM_STATE_SUCCEEDED for item in items)


async def test_a_backup_taken_at_work_is_finished_elsewhere(
    valkey: Valkey, redis_url: str, other: Valkey
) -> None:
    """What had ended stays, transcripts too; what ran and what waited is done after the restore."""

    async def all_but_the_first_wait(
        _: ScriptedTranscriber, request: TranscribeRequest
    ) -> TranscribeResponse:
        if request.url != URLS[0]:
            await asyncio.Event().wait()
        return succeeded()

    async with (
        running(ScriptedTranscriber(all_but_the_first_wait)) as busy,
        running_gateway(redis_url, [busy.address]) as gateway,
    ):
        batch_id = (await gateway.create(*URLS)).batch_id
        await wait_until(lambda: has_an_end(gateway, batch_id))
        copy_data(valkey, other)
    other.start()
    async with (
        running(ScriptedTranscriber()) as fresh,
        running_gateway(other.url, [fresh.address]) as gateway,
    ):
        ended = await gateway.ended(batch_id)
    assert ended.state == BatchState.BATCH_STATE_SUCCEEDED
    assert fresh.seen.keys() == set(URLS[1:])
