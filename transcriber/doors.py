"""The way of a listening socket from a child to its parent: over the line between them.

The parent takes it before anything is said, and answers there for as long as the child lives.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from transcriber.socks import SocksServer

_START_SECONDS = 60.0


@asynccontextmanager
async def answered(line: socket.socket, server: SocksServer) -> AsyncIterator[str]:
    """Let ``server`` answer at the child's door; gives the proxy's address for the child.

    Raises OSError if the child ends or hangs before it has opened its door.
    """
    async with asyncio.timeout(_START_SECONDS):
        door = await _taken(line)
    async with server.answering(door) as proxy_url:
        yield proxy_url


async def _taken(line: socket.socket) -> socket.socket:
    await _until_readable(line)
    said, descriptors, _, _ = socket.recv_fds(line, 1, 1)
    if not said:
        raise ConnectionError("the child ended before it had opened its door")
    return socket.socket(fileno=descriptors[0])


async def _until_readable(line: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(line, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(line)
