"""What tests wait with and listen on."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from batchscribe.local.plan import free_ports

T = TypeVar("T")

_POLL_SECONDS = 0.01


@overload
async def wait_until(
    predicate: Callable[[], Awaitable[T | None]], timeout_seconds: float = 10.0
) -> T: ...
@overload
async def wait_until(predicate: Callable[[], T | None], timeout_seconds: float = 10.0) -> T: ...
async def wait_until(predicate: Callable[[], Any], timeout_seconds: float = 10.0) -> Any:
    """Return the first truthy answer of ``predicate``, which may be a coroutine function.

    Raises AssertionError when ``timeout_seconds`` have passed without one.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        answer = predicate()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not true within {timeout_seconds} s: {predicate}"
        await asyncio.sleep(_POLL_SECONDS)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on right now."""
    (port,) = free_ports(1)
    return port
