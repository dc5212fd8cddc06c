"""Whose fault it was that a child died.

A child does several jobs at a time, and its exit does not say which of them it died of. So the jobs
that were there run again, and one that has seen the child die twice runs alone: if the child dies
of it then, nobody else can be to blame. Innocent neighbours lose time and nothing else. A process
that we replaced for reasons of our own counts for nobody.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batchscribe.transcriber.v1 import child_pb2

from transcriber.children import Child
from transcriber.job_table import ChildDied, Ending, Listener

SHARED_TRIES = 2


class Room:
    """Holds any number of jobs, or one that is alone; who waits to be alone goes before others."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._want_alone = 0

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._want_alone == 0)
            self._inside += 1
        try:
            yield
        finally:
            await self._leave()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        self._want_alone += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._inside == 0)
                self._inside += 1
            try:
                yield
            finally:
                await self._leave()
        finally:
            self._want_alone -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _leave(self) -> None:
        async with self._changed:
            self._inside -= 1
            self._changed.notify_all()


class IsolatedChild:
    """A child whose death is put down to the job that it died of."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._room = Room()

    async def run(self, request: child_pb2.ChildRequest, on_news: Listener) -> child_pb2.ChildReply:
        """Return the reply that ends the job, over deaths of the child that others caused.

        Raises what a child's ``run`` does; ChildDied only if the child died of this very job.
        """
        deaths = 0
        while True:
            try:
                async with self._room.alone() if deaths >= SHARED_TRIES else self._room.shared():
                    return await self._child.run(request, on_news)
            except ChildDied as died:
                deaths += died.ending is not Ending.REPLACED
                if deaths > SHARED_TRIES:
                    raise
