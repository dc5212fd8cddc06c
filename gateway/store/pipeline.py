"""Commands to Redis: those that wait go out together, in one write, fsync and read for all.

While groups are under way the next one gathers, so a command costs the less the more there are of
them. Within a group order is kept, and no command is sent twice.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import StoreUnavailable

Argument: TypeAlias = str | int | float | bytes
Command: TypeAlias = tuple[Argument, ...]

# With one, Redis would rest while its replies are read, and the gateway while it waits for them.
_GROUPS_UNDER_WAY = 2


class Pipeline:
    """Runs commands that do not block."""

    def __init__(self, redis: Redis) -> None:
        self._pool: Any = redis.connection_pool  # Its methods are not typed.
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._senders = set[object]()

    async def run(self, *command: Argument) -> Any:
        """Return the reply as Redis sent it.

        Raises RedisError; after a lost connection the command may have run.
        """
        reply = asyncio.get_running_loop().create_future()
        self._waiting.append((command, reply))
        # Else a sender is about to take it, or will when its group is back.
        if len(self._waiting) == 1 and len(self._senders) < _GROUPS_UNDER_WAY:
            self._senders.add(asyncio.create_task(self._send_all()))
        return await reply

    async def _send_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            replies = await self._send([command for command, _ in group])
            for (_, waiting), reply in zip(group, replies, strict=True):
                _answer(waiting, reply)
        self._senders.remove(asyncio.current_task())

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        try:
            connection = await self._pool.get_connection()
            try:
                return await _exchange(connection, commands)
            finally:
                await self._pool.release(connection)
        except Exception as error:  # Each of those who wait raises it.
            return [error] * len(commands)


async def _exchange(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    """Send commands and return their replies, errors among them. Raises RedisError."""
    await connection.send_packed_command(connection.pack_commands(commands))
    try:
        # One time-out for all: redis-py's own, one for each reply, cost more than reading it.
        async with asyncio.timeout(connection.socket_timeout):
            return [await _reply(connection) for _ in commands]
    except TimeoutError:
        raise RedisTimeoutError("Redis did not answer in time.") from None


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(timeout=math.inf)
    except ResponseError as error:
        return error


class Commands:
    """Runs commands of which none is a script."""

    def __init__(self, redis: Redis) -> None:
        self._pipeline = Pipeline(redis)

    async def run(self, *command: Argument) -> Any:
        """Return the reply. Raises StoreUnavailable; the command may have run all the same."""
        try:
            return await self._pipeline.run(*command)
        except RedisError as error:
            raise StoreUnavailable from error


def _answer(waiting: asyncio.Future[Any], reply: object) -> None:
    if waiting.done():
        return  # Whoever asked has left.
    if isinstance(reply, Exception):
        waiting.set_exception(reply)
    else:
        waiting.set_result(reply)
