"""How much is still to be done by all, for those who scale transcribers by it, such as KEDA."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from batchscribe.v1.batch_service_pb2 import ListModelsRequest
from fastapi import APIRouter

from gateway.http.calls import CALL_TIMEOUT_SECONDS, ROOT, Batches, Caller


class Queue(Protocol):
    """Videos that wait, and the audio of all that have not ended, running ones included."""

    @property
    def waiting_items(self) -> int: ...
    @property
    def audio_seconds(self) -> float: ...


ReadQueue = Callable[[], Awaitable[Queue]]


def router(read: ReadQueue) -> APIRouter:
    """Return the route; ``read`` gives what it tells."""
    routes = APIRouter()

    @routes.get(f"{ROOT}/queue", operation_id="GetQueue", tags=["Operation"])
    async def queue(batches: Batches, caller: Caller) -> dict[str, float]:
        """Says how much is still to be done, for all users together."""
        # Any good key will do: the gateway knows which those are.
        await batches.ListModels(ListModelsRequest(), metadata=caller, timeout=CALL_TIMEOUT_SECONDS)
        found = await read()
        return {"waiting_items": found.waiting_items, "audio_seconds": found.audio_seconds}

    return routes
