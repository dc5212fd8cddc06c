"""A relay in front of a TCP server that can fall silent as a cut cable does: nothing is closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

CHUNK_BYTES = 65536


class TcpRelay:
    """Passes bytes on both ways until ``fall_silent``.

    ``left`` is set when the server has closed one of its connections.
    """

    def __init__(self, upstream: str) -> None:
        self.address = ""
        self.left = asyncio.Event()
        self._upstream = upstream
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def fall_silent(self) -> None:
        self._speaks.clear()

    async def serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._writers.add(client)
        host, _, port = self._upstream.rpartition(":")
        with suppress(OSError), closing(client):
            answers, server = await asyncio.open_connection(host, int(port))
            self._writers.add(server)
            with closing(server):
                await asyncio.gather(self._pass_on(reader, server), self._answer(answers, client))

    def close(self) -> None:
        """Cut every connection."""
        self._speaks.set()
        for writer in self._writers:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        await self._pass_on(reader, client)
        self.left.set()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if self._speaks.is_set():
                writer.write(data)
        if self._speaks.is_set():
            writer.close()


@asynccontextmanager
async def relayed(upstream: str) -> AsyncIterator[TcpRelay]:
    """Serve a relay to ``upstream``, host:port, while the context is open."""
    relay = TcpRelay(upstream)
    server = await asyncio.start_server(relay.serve, "127.0.0.1")
    try:
        relay.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield relay
    finally:
        server.close()
        relay.close()
