"""The load: batches to create, and one watcher for each that notes how late it learns of an end."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from batchscribe.v1.batch_pb2 import BatchOptions, ItemState, VideoSpec
from batchscribe.v1.batch_service_pb2 import (
    CreateBatchRequest,
    WatchBatchRequest,
    WatchBatchResponse,
)
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub

KEY = "bs_bench_0123456789abcdef0123456789abcdef"
METADATA = (("authorization", f"Bearer {KEY}"),)
MAX_CONCURRENT = 10
_CREATES_AT_A_TIME = 8


@dataclass(frozen=True)
class Load:
    """``batches`` batches of ``size`` videos each."""

    batches: int
    size: int

    @property
    def items(self) -> int:
        return self.batches * self.size

    def urls(self) -> list[list[str]]:
        return [
            [f"http://bench.test/{batch}/{index}" for index in range(self.size)]
            for batch in range(self.batches)
        ]


async def create(stub: BatchServiceStub, batches: Sequence[Sequence[str]]) -> list[str]:
    """Create a batch for each list of addresses, a few at a time, and return their ids."""
    gate = asyncio.Semaphore(_CREATES_AT_A_TIME)

    async def one(urls: Sequence[str]) -> str:
        request = CreateBatchRequest(
            videos=[VideoSpec(url=url) for url in urls],
            options=BatchOptions(max_concurrent=MAX_CONCURRENT),
        )
        async with gate:
            return (await stub.CreateBatch(request, metadata=METADATA)).batch.batch_id

    return await asyncio.gather(*(one(urls) for urls in batches))


class Audience:
    """Watchers, each on a batch of its own; the tasks in ``watches`` end with their batches."""

    def __init__(self, stub: BatchServiceStub, watches: asyncio.TaskGroup) -> None:
        self._stub = stub
        self._watches = watches
        self._unseated = 0
        self.ends = 0
        self._is_seated = asyncio.Event()
        self.latencies_ms: list[float] = []

    async def watch(self, batch_ids: Sequence[str]) -> None:
        """Open all watches and return when each has its snapshot."""
        self._unseated = len(batch_ids)
        for batch_id in batch_ids:
            self._watches.create_task(self._follow(batch_id))
        await self._is_seated.wait()

    async def _follow(self, batch_id: str) -> None:
        stream = self._stub.WatchBatch(WatchBatchRequest(batch_id=batch_id), metadata=METADATA)
        async for event in stream:
            if event.HasField("snapshot"):
                self._seat(event)
            elif event.item_changed.state == ItemState.ITEM_STATE_SUCCEEDED:
                self.ends += 1
                self.latencies_ms.append(_age_ms(event))

    def _seat(self, event: WatchBatchResponse) -> None:
        self.ends += event.progress.succeeded
        self._unseated -= 1
        if not self._unseated:
            self._is_seated.set()


def _age_ms(event: WatchBatchResponse) -> float:
    # The time of an event is a whole millisecond, rounded down: this errs upwards.
    return time.time() * 1000 - event.event_time.ToMilliseconds()
