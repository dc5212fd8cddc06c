"""Fans items out to transcribers: claim, run, settle.

Whatever happens to a call, the lease decides: a result is written under its epoch or dropped, and
a gateway that dies leaves leases that run out.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import grpc
import structlog
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    CancelTaskRequest,
    TaskStage,
    TaskStatus,
    TranscribeResponse,
    WatchStatusResponse,
)
from batchscribe.v1.batch_pb2 import BatchItem, ItemError, ItemState

from gateway import ids, transcripts
from gateway.errors import StoreUnavailable
from gateway.pool import TranscribeCall, Transcriber, TranscriberPool
from gateway.retry import RetryPolicy
from gateway.store import BatchStore, Lease, Release, Renewal, Wake
from servicekit.status import reason_of

log = structlog.get_logger()

POLL_SECONDS = 1.0
RENEW_SECONDS = 3.0
REAP_SECONDS = 1.0
STORE_RETRY_SECONDS = 0.5
# A transcriber that said BUSY or vanished gets this time to change its mind.
HAND_BACK_MS = 200
CANCEL_TIMEOUT_SECONDS = 5.0

STAGES = {
    TaskStage.TASK_STAGE_FETCHING: ItemState.ITEM_STATE_FETCHING,
    TaskStage.TASK_STAGE_TRANSCRIBING: ItemState.ITEM_STATE_TRANSCRIBING,
}

# The transcriber let go of a task that it had: cancelled, or taken over by a later lease.
LEFT_REASONS = frozenset({"TASK_CANCELLED", "ADOPTED", "STALE_EPOCH"})

Answer: TypeAlias = "TranscribeResponse | grpc.aio.AioRpcError"

# Stands for a call that this side cancelled: stale, draining, or a silent transcriber.
GIVEN_UP = grpc.aio.AioRpcError(
    grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()
)


class Work:
    """A leased item on its way through a transcriber."""

    def __init__(self, lease: Lease, transcriber: Transcriber) -> None:
        self.lease = lease
        self.transcriber = transcriber
        self.call: TranscribeCall | None = None
        self.is_stale = False
        self.is_over = False
        self.status: TaskStatus | None = None
        self.news = asyncio.Event()

    @property
    def worker(self) -> str:
        status = self.transcriber.status
        return status.worker if status else self.transcriber.address

    def report(self, status: TaskStatus) -> None:
        """Take the transcriber's word for how far the task is; an older epoch's is not meant."""
        if status.epoch == self.lease.epoch:
            self.status = status
            self.news.set()

    def close(self) -> None:
        self.is_over = True
        self.news.set()

    def go_stale(self) -> None:
        self.is_stale = True
        if self.call:
            self.call.cancel()


class Dispatcher:
    """Keeps the free slots of the pool filled and brings every lease to its end."""

    def __init__(
        self, store: BatchStore, pool: TranscriberPool, policy: RetryPolicy, item_timeout: float
    ) -> None:
        self._store = store
        self._pool = pool
        self._policy = policy
        self._item_timeout = item_timeout
        self._works: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
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
        self._look.set()
        for member in wake.cancelled_members:
            work = self._works.get(member)
            if work:
                self._spawn(self._cancel_task(work))

    def report(self, transcriber: Transcriber, status: WatchStatusResponse) -> None:
        """A transcriber said how it is: pass on how far its tasks are, and look for work."""
        by_task = {task.task_id: task for task in status.tasks}
        for work in self._works.values():
            if work.transcriber is transcriber and work.lease.item_id in by_task:
                work.report(by_task[work.lease.item_id])
        self._look.set()

    async def drain(self) -> None:
        """Give every lease back at once; another gateway adopts the running work."""
        self._is_draining = True
        for work in tuple(self._works.values()):
            if work.call:
                work.call.cancel()
        await asyncio.gather(*self._tasks)

    # ---- claim ---------------------------------------------------------------------------------

    async def _claim_forever(self) -> None:
        while not self._is_draining:
            self._look.clear()
            try:
                await self._claim()
            except StoreUnavailable:
                log.warning("cannot claim: the store is away")
                await asyncio.sleep(STORE_RETRY_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._look.wait()

    async def _claim(self) -> None:
        for transcriber in self._pool.available():
            assert transcriber.status
            leases = await self._store.claim(
                secrets.token_hex(8),
                transcriber.address,
                transcriber.status.slots,
                transcriber.free_slots,
            )
            for lease in leases:
                work = Work(lease, transcriber)
                self._works[lease.member] = work
                self._spawn(self._run(work))

    # ---- run -----------------------------------------------------------------------------------

    async def _run(self, work: Work) -> None:
        try:
            answer = await self._call(work)
            await self._insist(lambda: self._settle(work, answer))
        finally:
            self._works.pop(work.lease.member, None)
            self._look.set()

    async def _call(self, work: Work) -> Answer:
        """Make the call and record stages while it lasts."""
        call = work.transcriber.stub.Transcribe(work.lease.request, timeout=self._item_timeout)
        work.call = call
        work.transcriber.calls.add(call)
        stages = asyncio.create_task(self._record_stages(work))
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            return error
        except asyncio.CancelledError:
            return GIVEN_UP
        finally:
            work.transcriber.calls.discard(call)
            work.close()
            await stages

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

    # ---- settle --------------------------------------------------------------------------------

    async def _settle(self, work: Work, answer: Answer) -> None:
        if work.is_stale:
            log.info("dropped a stale result", item=work.lease.item_id, epoch=work.lease.epoch)
        elif isinstance(answer, grpc.aio.AioRpcError):
            await self._settle_broken(work, answer)
        elif answer.HasField("transcript"):
            await self._settle_success(work, answer)
        else:
            await self._settle_failure(work, answer.error)

    async def _settle_success(self, work: Work, answer: TranscribeResponse) -> None:
        transcript = answer.transcript
        transcript.transcription_id = ids.transcription_id(work.lease.item_id, work.lease.epoch)
        blob = await asyncio.to_thread(transcripts.pack, transcript)
        await self._store.put_transcript(work.lease.user, transcript.transcription_id, blob)
        outcome = BatchItem(
            transcription_id=transcript.transcription_id,
            detected_language_code=transcript.language_code,
            warnings=transcript.warnings,
            title=transcript.source.title,
        )
        if transcript.HasField("language_probability"):
            outcome.language_probability = transcript.language_probability
        await self._store.finish(
            work.lease,
            ItemState.ITEM_STATE_SUCCEEDED,
            outcome,
            worker=transcript.provenance.worker,
            duration_ms=transcript.duration.ToMilliseconds(),
        )

    async def _settle_failure(self, work: Work, error: ItemError) -> None:
        delay_ms = self._policy.delay_ms(error, work.lease.attempts + 1)
        if delay_ms is None:
            outcome = BatchItem(error=error)
            await self._store.finish(
                work.lease, ItemState.ITEM_STATE_FAILED, outcome, worker=work.worker
            )
        else:
            await self._store.release(work.lease, Release.RETRY, delay_ms, error)

    async def _settle_broken(self, work: Work, error: grpc.aio.AioRpcError) -> None:
        """Settle an item whose call ended without an answer about the video."""
        code, reason = error.code(), reason_of(error)
        log.info("call ended", item=work.lease.item_id, code=code.name, reason=reason)
        if self._is_draining:
            await self._store.release(work.lease, Release.BACK, 0)
        elif reason in ("BUSY", "DRAINING"):
            work.transcriber.is_full = True
            await self._store.release(work.lease, Release.BACK, HAND_BACK_MS)
        elif code is grpc.StatusCode.UNAVAILABLE or reason in LEFT_REASONS:
            # An item that was to be cancelled ends here; any other is nobody's fault.
            await self._store.release(work.lease, Release.LOST, HAND_BACK_MS)
        else:
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                await self._cancel_task(work)
            await self._settle_failure(work, _error_of(code))

    async def _insist(self, write: Callable[[], Awaitable[None]]) -> None:
        """Repeat a write while Redis is away: losing Redis is not losing the lease."""
        while True:
            try:
                return await write()
            except StoreUnavailable:
                log.warning("a result waits for the store")
                await asyncio.sleep(STORE_RETRY_SECONDS)

    # ---- leases --------------------------------------------------------------------------------

    async def _renew(self) -> None:
        works = list(self._works.values())
        if not works:
            return
        renewals = await self._store.renew([work.lease for work in works])
        for work, renewal in zip(works, renewals, strict=True):
            if renewal is Renewal.STALE and not work.is_over:
                work.go_stale()
            if renewal is not Renewal.OK and not work.is_over:
                self._spawn(self._cancel_task(work))

    async def _reap(self) -> None:
        reaped, _ = await self._store.reap()
        if reaped:
            log.warning("leases ran out", items=reaped)

    async def _every(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await do()
            except StoreUnavailable:
                log.warning("the store is away", during=do.__name__)
            await asyncio.sleep(seconds)

    async def _cancel_task(self, work: Work) -> None:
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


def _error_of(code: grpc.StatusCode) -> ItemError:
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ItemError(
            reason="ITEM_TIMEOUT",
            message="The video took longer than one attempt may take.",
            hint="Split the video, or ask the operator for a longer limit.",
            retryable=True,
        )
    return ItemError(
        reason="INTERNAL",
        message="The transcriber failed in a way it should not.",
        hint="Try again; if it happens once more, tell the operator the item's id.",
        retryable=True,
    )
