"""Streams that outlive the check of their key: they end soon after the key does."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc

from gateway.access import KeyRing
from gateway.errors import StoreUnavailable, Unauthenticated, to_status
from servicekit import status, tasks

CHECK_SECONDS = 20.0


@dataclass(frozen=True, eq=False)
class _Stream:
    context: status.Context
    task: asyncio.Task[Any]


class OpenStreams:
    """The open streams of this gateway, by the key that each was opened with."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._open: dict[str, set[_Stream]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def add(self, key_id: str, context: status.Context) -> None:
        """Watch over the stream whose handler this task runs, until it has ended."""
        task = asyncio.current_task()
        assert task is not None
        stream = _Stream(context, task)
        self._open.setdefault(key_id, set()).add(stream)
        task.add_done_callback(lambda _: self._forget(key_id, stream))

    async def run(self) -> None:
        """Check every key that a stream is open with, for ever."""
        try:
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                with suppress(StoreUnavailable):  # Watches end by themselves if that lasts.
                    await self._check()
        finally:
            await tasks.cancel(self._ending)

    async def _check(self) -> None:
        for key_id in tuple(self._open):
            try:
                await self._keys.recheck(key_id)
            except Unauthenticated as error:
                for stream in tuple(self._open.get(key_id, ())):
                    self._end(stream, error)

    def _end(self, stream: _Stream, error: Unauthenticated) -> None:
        # The handler may rest in a write to somebody who never reads, so it cannot end the call.
        stream.task.cancel()
        ending = asyncio.create_task(_refuse(stream.context, error))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _forget(self, key_id: str, stream: _Stream) -> None:
        streams = self._open[key_id]
        streams.discard(stream)
        if not streams:
            del self._open[key_id]


async def _refuse(context: status.Context, error: Unauthenticated) -> None:
    with suppress(grpc.aio.BaseError):  # How an abort ends, and one that comes too late.
        await status.abort(context, to_status(error))
