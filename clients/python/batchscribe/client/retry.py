"""When to try again: full-jitter back-off, bounded in time.

Only calls that are safe to repeat come here; CreateBatch is one because it carries a request id.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from batchscribe.client import errors

T = TypeVar("T")


@dataclass
class Backoff:
    """Full jitter: each delay is drawn evenly between 0 and a ceiling that doubles.

    Source: Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
    """

    base_seconds: float = 0.2
    ceiling_seconds: float = 10.0
    draw: Callable[[float, float], float] = field(default=random.uniform, repr=False)
    _failures: int = 0

    def reset(self) -> None:
        self._failures = 0

    def next_delay(self, at_least_seconds: float | None = None) -> float:
        """Return the seconds to wait now; never less than what the server asked for."""
        ceiling = min(self.ceiling_seconds, self.base_seconds * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return (at_least_seconds or 0.0) + self.draw(0.0, ceiling)


async def retrying(call: Callable[[], Awaitable[T]], total_seconds: float) -> T:
    """Make ``call`` until it answers, repeating on UNAVAILABLE for ``total_seconds`` at most.

    Raises the translated error of the last try.
    """
    clock = asyncio.get_running_loop().time
    give_up_at = clock() + total_seconds
    backoff = Backoff()
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            failure = errors.from_grpc(error)
            delay = backoff.next_delay(failure.retry_after_seconds)
            if not isinstance(failure, errors.Unavailable) or clock() + delay > give_up_at:
                raise failure from error
        await asyncio.sleep(delay)
