"""A meter between a client and a server: what goes over TCP, in both directions.

Bytes are those that TCP carries, headers of HTTP included and those of TCP and IP left out. A round
trip is each time that a client begins to speak, after connecting or after the server has spoken;
setting up a connection is one more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

_CHUNK_BYTES = 65536


class WireMeter:
    """Passes bytes on between clients of ``address`` and a server, and counts them."""

    def __init__(self) -> None:
        self.address = ""
        self.connections = 0
        self.bytes = 0
        self.turns = 0

    @property
    def round_trips(self) -> int:
        return self.connections + self.turns

    async def relay(
        self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter], upstream: str
    ) -> None:
        """Serve one connection until either side ends it."""
        host, _, port = upstream.rpartition(":")
        answers, server = await asyncio.open_connection(host, int(port))
        self.connections += 1
        line = _Line(self)
        with suppress(ConnectionError), closing(server), closing(client[1]):
            await asyncio.gather(
                line.carry(client[0], server, from_client=True),
                line.carry(answers, client[1], from_client=False),
            )


class _Line:
    """One connection and who spoke last on it."""

    def __init__(self, meter: WireMeter) -> None:
        self._meter = meter
        self._client_spoke = False

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            self._meter.bytes += len(data)
            self._meter.turns += from_client and not self._client_spoke
            self._client_spoke = from_client
            writer.write(data)
        writer.close()


@asynccontextmanager
async def metered(upstream: str) -> AsyncIterator[WireMeter]:
    """Serve a meter in front of ``upstream``, host:port, while the context is open."""
    meter = WireMeter()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await meter.relay((reader, writer), upstream)

    server = await asyncio.start_server(relay, "127.0.0.1")
    async with server:
        meter.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield meter
