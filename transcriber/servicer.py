"""TranscriberService on the wire: calls in, statuses out. Decides nothing itself."""

from collections.abc import AsyncIterator, Mapping, Sequence

import grpc
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.transcriber.v1 import transcriber_service_pb2_grpc as contract_grpc
from google.rpc import status_pb2

from servicekit import status
from transcriber import models
from transcriber.resolver import LimitOutOfRange, SourceResolver
from transcriber.runner import Adopted, TaskRunner
from transcriber.tasks import Busy, Cancelled, Draining, Refused, StaleEpoch
from transcriber.watchers import Watchers

_PASSING = grpc.StatusCode.UNAVAILABLE
_RETRY_SECONDS = 1.0

# The status of every refusal: code, reason, message.
REFUSALS: Mapping[type[Refused], tuple[grpc.StatusCode, str, str]] = {
    Busy: (grpc.StatusCode.UNAVAILABLE, "BUSY", "All slots of this transcriber are taken."),
    Draining: (grpc.StatusCode.UNAVAILABLE, "DRAINING", "This transcriber is about to stop."),
    StaleEpoch: (grpc.StatusCode.ABORTED, "STALE_EPOCH", "The task has a higher epoch by now."),
    Adopted: (grpc.StatusCode.ABORTED, "ADOPTED", "A later call took the task over."),
    LimitOutOfRange: (
        grpc.StatusCode.INVALID_ARGUMENT,
        "LIMIT_OUT_OF_RANGE",
        "The limit has to be 1 or more.",
    ),
    Cancelled: (grpc.StatusCode.CANCELLED, "TASK_CANCELLED", "The task was cancelled."),
}


class TranscriberServicer(contract_grpc.TranscriberServiceServicer):
    """``identity`` holds what never changes: boot id, worker, slots, versions."""

    def __init__(
        self,
        runner: TaskRunner,
        resolver: SourceResolver,
        watchers: Watchers,
        identity: contract.WatchStatusResponse,
        offered: Sequence[str],
    ) -> None:
        self._runner = runner
        self._resolver = resolver
        self._watchers = watchers
        self._identity = identity
        self._offered = offered
        self._loaded: frozenset[str] = frozenset()
        self._is_able = True

    def set_loaded(self, names: Sequence[str]) -> None:
        """Say which models are in memory now."""
        self._loaded = frozenset(names)
        self._watchers.change()

    def set_able(self, is_able: bool) -> None:
        """Say whether work can be done; a transcriber that is not able offers no slots."""
        self._is_able = is_able
        self._watchers.change()

    async def Transcribe(
        self, request: contract.TranscribeRequest, context: status.Context
    ) -> contract.TranscribeResponse:
        try:
            return await self._runner.transcribe(request)
        except Refused as refused:
            await status.abort(context, _status_of(refused))

    async def ResolveSource(
        self, request: contract.ResolveSourceRequest, context: status.Context
    ) -> contract.ResolveSourceResponse:
        try:
            return await self._resolver.resolve(request)
        except Refused as refused:
            await status.abort(context, _status_of(refused))

    async def CancelTask(
        self, request: contract.CancelTaskRequest, context: status.Context
    ) -> contract.CancelTaskResponse:
        self._runner.cancel(request.task_id, request.epoch)
        return contract.CancelTaskResponse()

    async def WatchStatus(
        self, request: contract.WatchStatusRequest, context: status.Context
    ) -> AsyncIterator[contract.WatchStatusResponse]:
        with self._watchers.watcher() as watcher:
            while True:
                yield self._status()
                if self._watchers.closed:
                    return
                await watcher.wait()

    def _status(self) -> contract.WatchStatusResponse:
        now = contract.WatchStatusResponse(
            draining=self._runner.draining,
            models=[
                contract.ServedModel(
                    name=name,
                    multilingual=models.is_multilingual(name),
                    loaded=name in self._loaded,
                )
                for name in self._offered
            ],
            tasks=self._runner.statuses(),
        )
        now.MergeFrom(self._identity)
        if not self._is_able:
            now.slots = 0
        return now


def _status_of(refused: Refused) -> status_pb2.Status:
    code, reason, message = REFUSALS[type(refused)]
    details = [status.retry_info(_RETRY_SECONDS)] if code is _PASSING else []
    return status.build(code, reason, message, details=details)
