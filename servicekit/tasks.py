"""Ending tasks for certain."""

import asyncio
from collections.abc import Collection
from typing import Any

RECANCEL_SECONDS = 0.5


async def cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel ``tasks`` and return when all have ended.

    One cancel is not enough: before Python 3.12 ``asyncio.wait_for``, which redis-py sends with,
    loses a cancel that arrives together with its result.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=RECANCEL_SECONDS)
