"""Runs the tasks that the table admits, and gives each outcome to the task's latest caller.

Work and call are apart: a call that breaks leaves its work running, and a later call joins it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import structlog
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract

from transcriber import failures
from transcriber.tasks import Cancelled, Draining, Phase, Refused, Task, TaskTable
from transcriber.watchers import Watchers

log = structlog.get_logger()

_SWEEP_SECONDS = 1.0
_STOP_SECONDS = 2.0

Report = Callable[[contract.TaskStatus], None]
Work = Callable[[contract.TranscribeRequest, Report], Awaitable[contract.TranscribeResponse]]


class Adopted(Refused):
    """A later call took the task over."""


class TaskRunner:
    """The tasks of one transcriber. ``work`` does a task and reports parts of its status."""

    def __init__(self, table: TaskTable, work: Work, watchers: Watchers) -> None:
        self._table = table
        self._work = work
        self._watchers = watchers
        self._works: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, asyncio.Future[contract.TranscribeResponse]] = {}

    @property
    def draining(self) -> bool:
        return self._table.draining

    def statuses(self) -> Iterator[contract.TaskStatus]:
        return self._table.statuses()

    async def transcribe(self, request: contract.TranscribeRequest) -> contract.TranscribeResponse:
        """Return the task's outcome, or raise a kind of Refused.

        Cancelling the call does not stop the work.
        """
        task_id = request.task_id
        admission = self._table.admit(task_id, request.epoch)
        self._refuse(task_id, Adopted())
        answer: asyncio.Future[contract.TranscribeResponse]
        answer = self._answers[task_id] = asyncio.get_running_loop().create_future()
        if admission.is_new:
            self._works[task_id] = asyncio.create_task(self._run(request, admission.task))
        elif admission.task.outcome is not None:
            answer.set_result(admission.task.outcome)
        self._watchers.change()
        try:
            outcome = await answer
            self._table.deliver(task_id, admission.caller)
            return outcome
        finally:
            self._table.leave(task_id, admission.caller)
            if self._answers.get(task_id) is answer:
                del self._answers[task_id]

    def cancel(self, task_id: str, epoch: int) -> None:
        """Stop the task unless its epoch is higher."""
        if self._table.cancel(task_id, epoch):
            self._stop(task_id)
            self._refuse(task_id, Cancelled())
            self._watchers.change()

    async def sweep(self) -> None:
        """Stop orphans and forget old outcomes, for ever."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for task_id in self._table.sweep():
                log.info("orphan stopped", task=task_id)
                self._stop(task_id)

    async def drain(self, grace_seconds: float) -> None:
        """Take no more tasks, wait for those that run, then refuse their calls."""
        self._table.draining = True
        self._watchers.change()
        if self._works:
            await asyncio.wait(self._works.values(), timeout=grace_seconds)
        left = list(self._works.values())
        for task_id in list(self._works):
            self._stop(task_id)
            self._refuse(task_id, Draining())
        if left:
            # Their children end soon, and with these whatever does not stop.
            await asyncio.wait(left, timeout=_STOP_SECONDS)

    async def _run(self, request: contract.TranscribeRequest, task: Task) -> None:
        try:
            outcome = await self._work(request, lambda part: self._report(task, part))
        except Exception:
            log.exception("task failed for a reason that nobody foresaw", task=request.task_id)
            outcome = contract.TranscribeResponse(error=failures.item_error(failures.INTERNAL))
        del self._works[request.task_id]
        self._table.finish(request.task_id, outcome)
        answer = self._answers.get(request.task_id)
        if answer is not None and not answer.done():
            answer.set_result(outcome)
        self._watchers.change()

    def _report(self, task: Task, part: contract.TaskStatus) -> None:
        if task.phase is not Phase.RUNNING:
            return
        task.learn(part)
        if part.HasField("audio_processed"):
            self._watchers.progress()
        else:
            self._watchers.change()

    def _stop(self, task_id: str) -> None:
        self._works.pop(task_id).cancel()

    def _refuse(self, task_id: str, why: Refused) -> None:
        """End the call that waits for the task, if there is one."""
        answer = self._answers.get(task_id)
        if answer is not None and not answer.done():
            answer.set_exception(why)
