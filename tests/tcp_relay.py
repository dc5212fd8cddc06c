"""A relay in front of a TCP server that can fall silent as a cut cable does: nothing is closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Self

CHUNK_BYTES = 65536


class TcpRelay:
    """Passes bytes on both ways until ``fall_silent``.

    ``left`` is set when the server has closed one of its connections.
    """

    def __init__(self, upstream: str) -> None:
        """``upstream`` is host:port."""
        self.address = ""
        self.connections = 0
        self.left = asyncio.Event()
        self._upstream = upstream
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Relay what comes to ``address`` while the context is open, then cut every connection."""
        server = await asyncio.start_server(self._relay, "127.0.0.1")
        try:
            self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self
        finally:
            server.close()
            self._speaks.set()
            for writer in self._writers:
                writer.close()

    def fall_silent(self) -> None:
        self._speaks.clear()

    def heard(self, client: asyncio.StreamWriter, data: bytes, *, from_client: bool) -> None:
        """Called with all that goes over the connection of ``client``; does nothing."""

    async def _relay(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._writers.add(client)
        host, _, port = self._upstream.rpartition(":")
        with suppress(OSError), closing(client):
            answers, server = await asyncio.open_connection(host, int(port))
            self._writers.add(server)
            self.connections += 1
            with closing(server):
                await asyncio.gather(
                    self._pass_on(reader, server, client), self._answer(answers, client)
                )

    async def _answer(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        await self._pass_on(reader, client, client)
        self.left.set()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            self.heard(client, data, from_client=writer is not client)
            if self._speaks.is_set():
                writer.write(data)
        if self._speaks.is_set():
            writer.close()
