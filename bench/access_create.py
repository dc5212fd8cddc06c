"""The create half of ``make bench-access``: a batch with its rate and quota checked, and without.

Both are stored by the same script on the same server, in turn; of the other one all that has to do
with rates and quotas is taken out, the books on what was used included.
"""

import time
from dataclasses import replace
from unittest.mock import patch

from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1.batch_pb2 import Batch, BatchItem, BatchOptions
from redis.asyncio import Redis

from gateway import ids
from gateway.store import Allowance, BatchStore, NewBatch, connect, scripts

ROUNDS, WARM_UP, VIDEOS = 1_000, 50, 10
ALLOWANCE = Allowance(batches_per_minute=1, monthly_videos=1_000, monthly_audio_ms=360_000_000)
NOTHING_CHECKED = """
rate_wait_ms = function() return 0 end
quota_refusal = function() return nil end
month_of = function() return '' end
count_batch = function() end
reserve = function() end
"""


async def creates(url: str) -> tuple[list[float], list[float]]:
    """Return the milliseconds of unchecked and of checked batches, each of a user of its own."""
    async with connect(url) as redis:
        bare, checked = unchecked_store(redis), BatchStore(redis)
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(WARM_UP + ROUNDS):
            new = new_batch()
            for store, took, user in zip((bare, checked), times, ("a", "b"), strict=True):
                batch = replace(new, allowance=ALLOWANCE)
                begun = time.perf_counter()
                await store.create(f"{user}{number}", batch)
                took.append((time.perf_counter() - begun) * 1000)
        return times[0][WARM_UP:], times[1][WARM_UP:]


def unchecked_store(redis: Redis) -> BatchStore:
    prelude = scripts.prelude

    def nothing_checked(body: str) -> str:
        return prelude(body + NOTHING_CHECKED) + NOTHING_CHECKED

    with patch.object(scripts, "prelude", nothing_checked):
        return BatchStore(redis)


def new_batch() -> NewBatch:
    options = BatchOptions(parallel=True, continue_on_error=True, max_concurrent=3)
    batch = Batch(batch_id=ids.new_batch_id(), options=options)
    items = []
    for index in range(VIDEOS):
        work = TranscribeRequest(
            task_id=ids.item_id(batch.batch_id, index), url=f"https://media.test/{index}.mp4"
        )
        items.append((BatchItem(item_id=work.task_id, index=index, url=work.url), work))
    return NewBatch(batch, items)
