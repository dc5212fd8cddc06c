"""A watch that outlives its connections.

The cursor is the last stored revision the caller was given. Every new connection resumes after it
and anything at or below it is dropped, so the caller sees each change once, in order.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import grpc
from batchscribe.client import errors
from batchscribe.client.retry import Backoff
from batchscribe.client.states import is_last
from batchscribe.v1 import batch_service_pb2

Event = batch_service_pb2.WatchBatchResponse
OpenStream = Callable[[int], grpc.aio.UnaryStreamCall[batch_service_pb2.WatchBatchRequest, Event]]

logger = logging.getLogger(__name__)

_PASSING = (errors.Interrupted, errors.ServerError, errors.ResourceExhausted)
_STORED = frozenset({"snapshot", "item_changed", "batch_changed"})


@dataclass
class ResumingWatch:
    """One caller's watch of one batch; ``open_stream(after_revision)`` makes a connection."""

    open_stream: OpenStream
    patience_seconds: float
    cursor: int
    _backoff: Backoff = field(default_factory=Backoff)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield changes and progress until the batch has ended.

        Raises what makes another try useless (NotFound, Unauthenticated, ...), and the last
        failure once the server has been silent for ``patience_seconds``.
        """
        clock = asyncio.get_running_loop().time
        last_heard = clock()
        while True:
            try:
                async with contextlib.aclosing(self._connection()) as connection:
                    async for event in connection:
                        last_heard = clock()
                        self._backoff.reset()
                        if self._is_news(event):
                            yield event
                        if is_last(event):
                            return
                return
            except grpc.aio.AioRpcError as error:
                delay = self._delay_after(errors.from_grpc(error), clock() - last_heard)
            await asyncio.sleep(delay)

    async def _connection(self) -> AsyncGenerator[Event, None]:
        call = self.open_stream(self.cursor)
        try:
            async for event in call:
                yield event
        finally:
            call.cancel()

    def _is_news(self, event: Event) -> bool:
        kind = event.WhichOneof("event")
        if kind not in _STORED:
            return kind == "progress_update"
        is_new = event.revision > self.cursor
        self.cursor = max(self.cursor, event.revision)
        return is_new

    def _delay_after(self, failure: errors.BatchscribeError, silent_seconds: float) -> float:
        """Return how long to wait before resuming; raise ``failure`` if that is of no use."""
        if isinstance(failure, errors.OutOfRange) and self.cursor > 0:
            # The server lost what it had told us (a failover): begin again with a snapshot.
            self.cursor = 0
        elif not isinstance(failure, _PASSING) or silent_seconds > self.patience_seconds:
            raise failure
        delay = self._backoff.next_delay(failure.retry_after_seconds)
        logger.info("watch interrupted (%s), resuming in %.1f s", failure, delay)
        return delay
