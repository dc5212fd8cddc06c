"""Fans items out to transcribers: claim, run, settle.

Whatever happens to a call, the lease decides: a result is written under its epoch or dropped, and
a gateway that dies leaves leases that run out.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import grpc
import structlog
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    CancelTaskRequest,
    TaskStage,
    TaskStatus,
    WatchStatusResponse,
)
from batchscribe.v1.batch_pb2 import ItemState

from gateway.errors import StoreFull, StoreUnavailable
from gateway.observer import Observer
from gateway.pool import Transcriber, TranscriberPool
from gateway.settle import Settler
from gateway.store import BatchStore, Lease, Renewal, Vacancy, Wake
from gateway.work import Answer, Work

log = structlog.get_logger()

POLL_SECONDS = 1.0
RENEW_SECONDS = 3.0
REAP_SECONDS = 1.0
STORE_RETRY_SECONDS = 0.5
CANCEL_TIMEOUT_SECONDS = 5.0
RESOLVE_TIMEOUT_SECONDS = 120.0

STAGES = {
    TaskStage.TASK_STAGE_FETCHING: ItemState.ITEM_STATE_FETCHING,
    TaskStage.TASK_STAGE_TRANSCRIBING: ItemState.ITEM_STATE_TRANSCRIBING,
}


class Dispatcher:
    """Keeps the free slots of the pool filled and brings every lease to its end."""

    def __init__(
        self,
        store: BatchStore,
        pool: TranscriberPool,
        settler: Settler,
        item_timeout: float,
        observer: Observer,
    ) -> None:
        self._store = store
        self._pool = pool
        self._settler = settler
        self._item_timeout = item_timeout
        self._observer = observer
        self._works: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Of a claim whose answer has not arrived: asked again it is the same.
        self._op_id: str | None = None
        self._look = asyncio.Event()
        # Set while no claim is under way.
        self._claimed = asyncio.Event()
        self._claimed.set()
        self._is_work_ready = True
        self._adoptable: set[str] = set()
        self._is_draining = False

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what has to run for the life of the gateway: claim, renew, reap."""
        return (
            self._claim_forever(),
            self._every(RENEW_SECONDS, self._renew),
            self._every(REAP_SECONDS, self._reap),
        )

    def wake(self, wake: Wake) -> None:
        """Something changed in the store: look for work, and stop what was cancelled."""
        self._adoptable.update(wake.adoptable)
        self._is_work_ready = wake.is_work_ready
        self._look_for_work()
        for member in wake.cancelled_members:
            if work := self._works.get(member):
                self._spawn(self._cancel_task(work))

    def report(self, transcriber: Transcriber, status: WatchStatusResponse) -> None:
        """A transcriber said how it is: pass on how far its tasks are, and look for work."""
        by_task = {task.task_id: task for task in status.tasks}
        for work in self._works.values():
            if work.transcriber is transcriber and work.lease.item_id in by_task:
                work.report(by_task[work.lease.item_id])
        self._look_for_work()

    def blame(self, boot_id: str) -> None:
        """A run of a transcriber ended without a word; what was on it is suspected."""
        self._spawn(self._insist(lambda: self._blame(boot_id)))

    async def drain(self, grace_seconds: float) -> None:
        """Give every lease up at once; another gateway adopts the running work."""
        self._is_draining = True
        for work in self._works.values():
            work.give_up()
        # Leases that could not be given up, for want of Redis, run out.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._claimed.wait()
                while self._tasks:
                    await asyncio.wait(self._tasks)

    # ---- claim ---------------------------------------------------------------------------------

    async def _claim_forever(self) -> None:
        while not self._is_draining:
            self._look.clear()
            self._claimed.clear()
            try:
                await self._claim()
            except (StoreUnavailable, StoreFull) as refused:
                log.warning("cannot claim", error=str(refused))
                await asyncio.sleep(STORE_RETRY_SECONDS)
            finally:
                self._claimed.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._look.wait()

    def _look_for_work(self) -> None:
        # Each look is a claim, so an idle gateway leaves it to the poll.
        if self._is_work_ready or self._adoptable:
            self._look.set()

    async def _claim(self) -> None:
        adoptable, self._adoptable = self._adoptable, set()
        # All in one: a script for each would cost more than what it finds, most often nothing.
        vacancies = [
            Vacancy(transcriber.address, transcriber.slots, transcriber.free_slots)
            for transcriber in self._pool.reachable(adoptable)
        ]
        if not vacancies and not self._op_id:
            return
        self._op_id = self._op_id or secrets.token_hex(8)
        try:
            leases = await self._store.claim(self._op_id, vacancies)
        except (StoreUnavailable, StoreFull):
            self._adoptable |= adoptable
            raise
        self._op_id = None
        for lease in leases:
            self._start(lease)

    def _start(self, lease: Lease) -> None:
        # A transcriber may have left since it was chosen: the lease runs out.
        if transcriber := self._pool.members.get(lease.address):
            transcriber.taken += 1
            self._spawn(self._run(lease, transcriber))

    # ---- run -----------------------------------------------------------------------------------

    async def _run(self, lease: Lease, transcriber: Transcriber) -> None:
        if earlier := self._works.get(lease.member):
            # Its lease ran out and the item came back; the transcriber keeps what is done so far.
            earlier.go_stale()
        work = self._works[lease.member] = Work(lease, transcriber)
        if self._is_draining:
            work.give_up()
        try:
            with self._observer.attempt(work):
                answer = await self._answer(work)
                with self._observer.settling(work, answer):
                    await self._insist(
                        lambda: self._settler.settle(work, answer, is_draining=self._is_draining)
                    )
        finally:
            transcriber.taken -= 1
            # By now the item may be leased again, to this very gateway.
            if self._works.get(lease.member) is work:
                del self._works[lease.member]
            self._look_for_work()

    async def _answer(self, work: Work) -> Answer:
        """Resolve what may be a playlist; what is one video goes on under the same lease."""
        if work.is_resolving:
            resolving = work.resolve(RESOLVE_TIMEOUT_SECONDS)
            found = await self._observer.call("ResolveSource", resolving)
            if isinstance(found, grpc.aio.AioRpcError) or not found.HasField("video"):
                return found
        stages = asyncio.create_task(self._record_stages(work))
        transcribing = work.transcribe(self._timeout_of(work.lease))
        answer = await self._observer.call("Transcribe", transcribing)
        await stages
        if _has_timed_out(answer):
            await self._cancel_task(work)
        return answer

    def _timeout_of(self, lease: Lease) -> float:
        asked = lease.options.item_timeout.ToTimedelta().total_seconds()
        return min(asked or self._item_timeout, self._item_timeout)

    async def _record_stages(self, work: Work) -> None:
        while not work.is_over:
            await work.news.wait()
            work.news.clear()
            if work.status and work.status.stage in STAGES and not work.is_over:
                try:
                    await self._record_stage(work, work.status)
                except StoreUnavailable:
                    log.warning("a stage was not recorded", item=work.lease.item_id)

    async def _record_stage(self, work: Work, status: TaskStatus) -> None:
        is_held = await self._store.stage(
            work.lease,
            work.worker,
            STAGES[status.stage],
            status.title,
            status.audio_duration.ToMilliseconds(),
        )
        if not is_held:
            work.go_stale()

    async def _insist(self, write: Callable[[], Awaitable[None]]) -> None:
        """Repeat a write while Redis is away: losing Redis is not losing the lease."""
        while True:
            try:
                return await write()
            except (StoreUnavailable, StoreFull):
                log.warning("a result waits for the store")
                await asyncio.sleep(STORE_RETRY_SECONDS)

    # ---- leases --------------------------------------------------------------------------------

    async def _renew(self) -> None:
        works = list(self._works.values())
        if not works:
            return
        renewals = await self._store.renew([work.lease for work in works])
        for work, renewal in zip(works, renewals, strict=True):
            if work.is_over or renewal is Renewal.OK:
                continue
            if renewal is Renewal.STALE:
                work.go_stale()
            self._spawn(self._cancel_task(work))

    async def _reap(self) -> None:
        reaped, _ = await self._store.reap()
        if reaped:
            log.warning("leases ran out", items=reaped)
            self._observer.metrics.leases_lost(reaped)

    async def _blame(self, boot_id: str) -> None:
        if suspects := await self._store.blame(boot_id):
            log.warning("a transcriber went without a word", boot_id=boot_id, items=suspects)

    async def _every(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await do()
            except StoreUnavailable:
                log.warning("the store is away", during=do.__name__)
            await asyncio.sleep(seconds)

    async def _cancel_task(self, work: Work) -> None:
        if work.is_resolving:
            work.give_up()
            return
        request = CancelTaskRequest(task_id=work.lease.item_id, epoch=work.lease.epoch)
        try:
            await work.transcriber.stub.CancelTask(request, timeout=CANCEL_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            # The next renewal asks again; a transcriber that is gone has nothing to cancel.
            log.info("cancel not delivered", item=work.lease.item_id, code=error.code().name)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            # The lease is no longer renewed, so the item comes back by itself.
            log.error("a bug while dispatching", exc_info=error)


def _has_timed_out(answer: object) -> bool:
    return (
        isinstance(answer, grpc.aio.AioRpcError)
        and answer.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    )
