"""What users do during a run: batches of all kinds, cancelled, watched, and watched again.

One user comes through the gateways with the SDK. The gateways know one key only, so the others'
batches are put into the store by the run itself, under the same rules.
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TypeVar

from batchscribe.client import Client, errors
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1.batch_pb2 import Batch, BatchItem
from batchscribe.v1.batch_service_pb2 import WatchBatchResponse

from gateway import ids
from gateway.errors import StoreUnavailable
from gateway.store import BatchStore, NewBatch
from tests.chaos.orders import API_USER, MODEL, Order, draw_order
from tests.running_gateway import KEY

# A user tries again for so long when a call fails.
PATIENCE_SECONDS = 180.0
PAUSE_SECONDS = 0.2
# Whose watch was cut stays away for up to so long: most batches have moved on by then.
MAX_ABSENCE_SECONDS = 1.0
MOST_ITEMS = 500

T = TypeVar("T")


@dataclass(frozen=True)
class Promise:
    """A batch that was acknowledged, and whether a webhook is to tell of its end.

    ``videos`` is how many there are at each of its addresses.
    """

    user: str
    batch_id: str
    videos: Sequence[int]
    is_notified: bool


@dataclass(frozen=True)
class Seen:
    """One stored change as a watcher was told; ``subject`` is an item's id, "" the batch."""

    revision: int
    subject: str
    state: int


@dataclass
class WatchLog:
    """All that one watcher was told about one batch, over all its connections."""

    promise: Promise
    seen: list[Seen] = field(default_factory=list)
    snapshots: int = 0

    @property
    def cursor(self) -> int:
        return self.seen[-1].revision if self.seen else 0

    def take(self, event: WatchBatchResponse) -> None:
        kind = event.WhichOneof("event")
        if kind == "item_changed":
            item = event.item_changed
            self.seen.append(Seen(event.revision, item.item_id, item.state))
        elif kind == "batch_changed":
            self.seen.append(Seen(event.revision, "", event.batch_changed.state))
        elif kind == "snapshot":
            self.snapshots += 1
            self.seen.append(Seen(event.revision, "", event.snapshot.state))


class Load:
    """Orders batches at an even rate of items.

    ``promises`` are the batches there must be in the end, ``deleted`` those that must be gone.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        store: BatchStore,
        webhook: str,
        seed: int,
        items_per_second: float,
        playlist_share: float,
    ) -> None:
        self.promises: list[Promise] = []
        self.deleted: list[Promise] = []
        self.watches: list[WatchLog] = []
        self._store = store
        self._webhook = webhook
        self._dice = random.Random(seed)
        self._items_per_second = items_per_second
        self._playlist_share = playlist_share
        self._clients = [Client(target, KEY) for target in _targets(addresses)]
        self._next_client = cycle(self._clients)

    async def run(self, seconds: float) -> None:
        """Order for ``seconds``; return when every watcher has seen its batch end."""
        begun, ordered = time.monotonic(), 0
        async with contextlib.AsyncExitStack() as stack:
            for client in self._clients:
                await stack.enter_async_context(client)
            users = await stack.enter_async_context(asyncio.TaskGroup())
            while time.monotonic() - begun < seconds:
                order = draw_order(self._dice, self._playlist_share)
                users.create_task(self._live(order))
                ordered += sum(order.videos)
                due = begun + ordered / self._items_per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _live(self, order: Order) -> None:
        """Do what the user of one order does, to its end."""
        if order.is_notified:
            order.options.notify_webhook = self._webhook
        is_api_user = order.user == API_USER
        batch_id = await (self._create(order) if is_api_user else self._create_in_store(order))
        promise = Promise(order.user, batch_id, order.videos, order.is_notified)
        self.promises.append(promise)
        async with asyncio.TaskGroup() as doings:
            if order.cancel_after_seconds is not None:
                doings.create_task(self._cancel(promise, order.cancel_after_seconds))
            if is_api_user:
                doings.create_task(self._watch_rounds(promise, order))

    async def _create(self, order: Order) -> str:
        request_id = str(uuid.uuid4())

        async def create() -> str:
            batch = await next(self._next_client).create_batch(
                order.urls, options=order.options, request_id=request_id
            )
            return batch.batch_id

        return await insist(create)

    async def _create_in_store(self, order: Order) -> str:
        batch, expands = Batch(batch_id=ids.new_batch_id()), order.options.expand_playlists
        batch.options.CopyFrom(order.options)
        items = []
        for index, url in enumerate(order.urls):
            item_id = ids.item_id(batch.batch_id, index)
            shown = BatchItem(item_id=item_id, index=index, url=url, model=MODEL)
            items.append((shown, TranscribeRequest(task_id=item_id, url=url, model=MODEL)))
        new = NewBatch(batch, items, max_total=MOST_ITEMS if expands else None)
        return await insist(lambda: self._store.create(order.user, new))

    async def _cancel(self, promise: Promise, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        if promise.user != API_USER:
            await insist(lambda: self._store.cancel(promise.user, promise.batch_id, []))
            return
        try:
            await insist(lambda: next(self._next_client).cancel(promise.batch_id))
        except errors.NotFound:
            if promise not in self.deleted:  # It had ended, and its user deleted it, by then.
                raise

    async def _watch_rounds(self, promise: Promise, order: Order) -> None:
        log = WatchLog(promise)
        self.watches.append(log)
        await self._watch(log, order.cut_share)
        if order.is_retried:
            # Nothing failed, or the round has begun already and the answer was lost.
            with contextlib.suppress(errors.FailedPrecondition):
                await insist(lambda: next(self._next_client).retry(promise.batch_id))
            await self._watch(log, order.cut_share)
        if order.is_deleted:
            self.promises.remove(promise)
            self.watches.remove(log)
            self.deleted.append(promise)
            with contextlib.suppress(errors.NotFound):  # Deleted, and the answer was lost.
                await insist(lambda: next(self._next_client).delete(promise.batch_id))

    async def _watch(self, log: WatchLog, cut_share: float) -> None:
        cuts = random.Random(log.promise.batch_id)
        while await self._watch_until_cut(log, cuts, cut_share):
            pass

    async def _watch_until_cut(self, log: WatchLog, cuts: random.Random, cut_share: float) -> bool:
        """Watch on from the last revision seen; true if the connection was cut before the end.

        Who was cut has been away for a while by then.
        """
        events = next(self._next_client).watch(log.promise.batch_id, log.cursor)
        async with contextlib.aclosing(events):
            async for event in events:
                log.take(event)
                if cuts.random() < cut_share:
                    break
            else:
                return False
        await asyncio.sleep(cuts.uniform(0.0, MAX_ABSENCE_SECONDS))
        return True


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat what failed because something was away, as a patient user does."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await call()
        except (errors.Interrupted, StoreUnavailable):
            if time.monotonic() > give_up_at:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


def _targets(addresses: Sequence[str]) -> list[str]:
    """Return one gRPC target for each gateway, which falls back to the others in turn."""
    turns = ((*addresses[n:], *addresses[:n]) for n in range(len(addresses)))
    return ["ipv4:" + ",".join(turn) for turn in turns]
