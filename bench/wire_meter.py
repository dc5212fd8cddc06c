"""A meter between a client and a server: what goes over TCP, in both directions.

Bytes are those that TCP carries, headers of HTTP included and those of TCP and IP left out. A round
trip is each time that a client begins to speak, after connecting or after the server has spoken;
setting up a connection is one more.
"""

import asyncio

from tests.tcp_relay import TcpRelay


class WireMeter(TcpRelay):
    """A relay that counts what it passes on."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.bytes = 0
        self.turns = 0
        self._client_spoke: dict[asyncio.StreamWriter, bool] = {}

    @property
    def round_trips(self) -> int:
        return self.connections + self.turns

    def heard(self, client: asyncio.StreamWriter, data: bytes, *, from_client: bool) -> None:
        self.bytes += len(data)
        self.turns += from_client and not self._client_spoke.get(client, False)
        self._client_spoke[client] = from_client
