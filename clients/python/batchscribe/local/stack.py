"""A running stack: everything starts at the same time, drains in order, and ends in bounded time.

On the way out the services drain first and Redis stops last.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence

from batchscribe.client import discovery
from batchscribe.local import data_dir, plan, valkey
from batchscribe.local.child import Child, StackError


@contextlib.asynccontextmanager
async def running(
    settings: plan.StackSettings, announce: Callable[[str], None]
) -> AsyncGenerator[discovery.Server, None]:
    """Run the stack around a block; yields where its gateway is once everything is ready.

    ``announce`` is given a sentence about whatever happens that a user should know. Raises
    StackError if the stack cannot start.
    """
    async with data_dir.locked(settings.data_dir) as folder:
        await _check_given_redis(settings)
        drawn_up = plan.draw_up(settings, folder)
        store = [Child(program, announce) for program in drawn_up.store]
        services = [Child(program, announce) for program in drawn_up.services]
        try:
            await _start([*store, *services])
            discovery.write(folder.path, drawn_up.server)
            async with _kept_alive([*store, *services]):
                yield drawn_up.server
        finally:
            discovery.forget(folder.path)
            try:
                await _stop(services)
            finally:
                await _stop(store)


async def _check_given_redis(settings: plan.StackSettings) -> None:
    if settings.redis_url and not await valkey.answers(settings.redis_url):
        raise StackError(
            "The Redis of --redis-url does not answer. Is it running and its address right?"
        )


async def _start(children: Sequence[Child]) -> None:
    try:
        async with asyncio.TaskGroup() as starting:
            for child in children:
                starting.create_task(child.start())
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def _stop(children: Sequence[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


@contextlib.asynccontextmanager
async def _kept_alive(children: Sequence[Child]) -> AsyncGenerator[None, None]:
    keepers = [asyncio.create_task(child.keep_alive()) for child in children]
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
