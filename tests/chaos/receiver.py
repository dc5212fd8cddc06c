"""A webhook receiver that is often out of order, and remembers which messages it accepted."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from http import HTTPStatus

REFUSED_SHARE = 0.3


class Receiver:
    """Refuses some messages, hangs up on others; ``accepted`` counts the rest by webhook id."""

    def __init__(self, seed: int) -> None:
        self.url = ""
        self.accepted: Counter[str] = Counter()
        self._dice = random.Random(seed)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request and close the connection."""
        # Its sender may have been killed.
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
            await reader.readexactly(int(headers["content-length"]))
            if status := self._judge(headers["webhook-id"]):
                line = f"HTTP/1.1 {status.value} {status.phrase}"
                writer.write(f"{line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
                await writer.drain()

    def _judge(self, webhook_id: str) -> HTTPStatus | None:
        if self._dice.random() < REFUSED_SHARE:
            return self._dice.choice((HTTPStatus.INTERNAL_SERVER_ERROR, None))
        self.accepted[webhook_id] += 1
        return HTTPStatus.NO_CONTENT


@asynccontextmanager
async def receiving(seed: int) -> AsyncIterator[Receiver]:
    """Serve a receiver on loopback while the context is open."""
    receiver = Receiver(seed)
    server = await asyncio.start_server(receiver.answer, "127.0.0.1")
    async with server:
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        yield receiver
