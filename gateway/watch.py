"""One watch: a snapshot or a replay, then every change in order, until the batch has ended.

A watch pulls its batch's log by cursor when it is woken. It holds no queue, so a reader that is
slow or never reads costs the same as any other.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from batchscribe.v1.batch_pb2 import Batch, ItemProgress
from batchscribe.v1.batch_service_pb2 import Heartbeat, ProgressUpdate, WatchBatchResponse

from gateway import ids
from gateway.errors import Draining, RevisionAhead, WatchExpired
from gateway.live import LiveItem, LiveProgress
from gateway.progress import ProgressMeter
from gateway.store import (
    ENDED_BATCH_STATES,
    BatchStore,
    StoredBatch,
    StoredEvent,
    Tally,
    WakeStream,
)

PAGE = 100
PROGRESS_SECONDS = 1.0
# A wake can be missed while Redis is away; the log is looked at this often all the same.
POLL_SECONDS = 5.0


@dataclass(frozen=True)
class WatchTimes:
    """Seconds of silence before a heartbeat, and the longest a watch may last."""

    heartbeat_seconds: float
    max_seconds: float


class Watches:
    """Every open watch of this gateway."""

    def __init__(
        self,
        store: BatchStore,
        wakes: WakeStream,
        live: LiveProgress,
        meter: ProgressMeter,
        times: WatchTimes,
    ) -> None:
        self._store = store
        self._wakes = wakes
        self._live = live
        self._meter = meter
        self._times = times
        self._is_draining = False

    def drain(self) -> None:
        """End every watch with a status that tells the watcher to resume."""
        self._is_draining = True
        self._wakes.wake_everybody()

    async def follow(
        self, user: str, batch_id: str, after_revision: int
    ) -> AsyncIterator[WatchBatchResponse]:
        """Yield what happened after ``after_revision``; end after the batch has.

        Raises NotFound, RevisionAhead, WatchExpired, Draining, StoreUnavailable.
        """
        with self._wakes.watching(user, batch_id) as woken:
            stored = await self._store.batch(user, batch_id, with_items=after_revision == 0)
            if after_revision > stored.batch.revision:
                raise RevisionAhead(after_revision, stored.batch.revision)
            watch = _Watch(self._meter, stored, after_revision)
            if after_revision == 0:
                yield watch.snapshot(stored.batch)
            del stored  # Hundreds of items, not to be held for the length of the watch.
            async for response in self._changes(watch, user, woken):
                yield response

    async def _changes(
        self, watch: "_Watch", user: str, woken: asyncio.Event
    ) -> AsyncIterator[WatchBatchResponse]:
        opened = looked = time.monotonic()
        sign_due = opened + PROGRESS_SECONDS
        woken.set()
        while not watch.has_ended:
            now = time.monotonic()
            if self._is_draining:
                raise Draining
            if now - opened > self._times.max_seconds:
                raise WatchExpired
            # Progress comes first: in a busy batch there is always something to read.
            if now >= sign_due:
                sign_due = now + PROGRESS_SECONDS
                live = self._live.of_batch(watch.batch_id)
                if sign := watch.sign_of_life(live, self._times.heartbeat_seconds):
                    yield sign
            elif woken.is_set() or now - looked > POLL_SECONDS:
                woken.clear()
                looked = now
                async for response in self._read_on(watch, user):
                    yield response
            else:
                await _wait(woken, sign_due - now)

    async def _read_on(self, watch: "_Watch", user: str) -> AsyncIterator[WatchBatchResponse]:
        while True:
            events = await self._store.events(user, watch.spec, watch.revision, PAGE)
            for event in events:
                yield watch.change(event)
            if len(events) < PAGE:
                break
        if not events and not watch.has_ended:
            # Woken for nothing: a deleted batch has no log, so this raises NotFound. One that Redis
            # has lost the end of must be watched anew, before its revisions are used again.
            stored = await self._store.batch(user, watch.batch_id, with_items=False)
            if watch.revision > stored.batch.revision:
                raise RevisionAhead(watch.revision, stored.batch.revision)


class _Watch:
    """What one watcher has seen, and the messages that follow from it."""

    def __init__(self, meter: ProgressMeter, stored: StoredBatch, after_revision: int) -> None:
        self._meter = meter
        self._tally: Tally = stored.tally
        self._sent_ms: dict[str, int] = {}
        self._fraction = 0.0
        self._last_sent = time.monotonic()
        self.spec = Batch()
        self.spec.CopyFrom(stored.batch)
        self.spec.ClearField("items")
        self.batch_id = stored.batch.batch_id
        self.revision = after_revision or stored.batch.revision
        self.has_ended = (
            stored.batch.state in ENDED_BATCH_STATES and self.revision == stored.batch.revision
        )

    def snapshot(self, batch: Batch) -> WatchBatchResponse:
        response = WatchBatchResponse(snapshot=batch)
        return self._complete(response, batch.update_time.ToMilliseconds())

    def change(self, event: StoredEvent) -> WatchBatchResponse:
        self.revision, self._tally = event.revision, event.tally
        if isinstance(event.change, Batch):
            self.has_ended = event.change.state in ENDED_BATCH_STATES
            response = WatchBatchResponse(batch_changed=event.change)
        else:
            response = WatchBatchResponse(item_changed=event.change)
        return self._complete(response, event.at_ms)

    def sign_of_life(
        self, live: Mapping[str, LiveItem], heartbeat_seconds: float
    ) -> WatchBatchResponse | None:
        """Return how far the items are that moved; if none did for long, a heartbeat."""
        moved = [
            item for item in live.values() if item.processed_ms > self._sent_ms.get(item.item_id, 0)
        ]
        if moved:
            self._sent_ms = {item.item_id: item.processed_ms for item in live.values()}
            update = ProgressUpdate(items=[_item_progress(item) for item in moved])
            return self._complete(WatchBatchResponse(progress_update=update), _now_ms())
        if time.monotonic() - self._last_sent >= heartbeat_seconds:
            return self._complete(WatchBatchResponse(heartbeat=Heartbeat()), _now_ms())
        return None

    def _complete(self, response: WatchBatchResponse, at_ms: int) -> WatchBatchResponse:
        reading = self._meter.read(self.batch_id, self._tally, _now_ms())
        self._fraction = max(self._fraction, reading.progress.fraction)
        response.revision = self.revision
        response.event_time.FromMilliseconds(at_ms)
        response.progress.CopyFrom(reading.progress)
        response.progress.fraction = self._fraction
        if reading.estimated_end_ms:
            response.estimated_end_time.FromMilliseconds(reading.estimated_end_ms)
        self._fill_batch(response)
        self._last_sent = time.monotonic()
        return response

    def _fill_batch(self, response: WatchBatchResponse) -> None:
        """Repeat progress inside a batch that is sent, so that it is whole by itself."""
        kind = response.WhichOneof("event")
        if kind not in ("snapshot", "batch_changed"):
            return
        batch = response.snapshot if kind == "snapshot" else response.batch_changed
        batch.progress.CopyFrom(response.progress)
        if response.HasField("estimated_end_time"):
            batch.estimated_end_time.CopyFrom(response.estimated_end_time)


def _item_progress(item: LiveItem) -> ItemProgress:
    progress = ItemProgress(
        item_id=item.item_id, index=ids.index_of(item.item_id), fraction=item.fraction
    )
    progress.audio_processed.FromMilliseconds(item.processed_ms)
    return progress


async def _wait(woken: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await woken.wait()


def _now_ms() -> int:
    return int(time.time() * 1000)
