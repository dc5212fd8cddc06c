"""A receiver of webhooks that answers as it is told, down to the bytes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Self

from standardwebhooks import Webhook

# For 127.0.0.1, signed by nobody but itself; its key is of no use elsewhere.
SELF_SIGNED = Path(__file__).with_name("self_signed.pem")

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """One POST as it came; names of headers are in lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """Return the JSON of the body; raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers)


def status(code: int, **headers: str) -> Reply:
    """Answer with a status and nothing else."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        head = f"HTTP/1.1 {code} As told\r\ncontent-length: 0\r\n{''.join(lines)}\r\n"
        writer.write(head.encode())
        await writer.drain()

    return reply


async def hang_up(_: asyncio.StreamWriter) -> None:
    """Answer nothing; the connection is closed."""


async def never(_: asyncio.StreamWriter) -> None:
    """Let the sender wait for ever."""
    await asyncio.Event().wait()


def endless(head: str, piece: str) -> Reply:
    """Begin with ``head`` and send ``piece`` until nobody listens."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode())
        while True:
            writer.write(piece.encode())
            await writer.drain()
            await asyncio.sleep(0)  # To drain a buffer that is not full lets nobody else run.

    return reply


class WebhookReceiver:
    """Answers the nth POST with the nth reply, and those behind with the last one."""

    def __init__(self, *replies: Reply) -> None:
        self.url = ""
        self.received: list[Received] = []
        self._replies = chain(replies, repeat(replies[-1] if replies else status(200)))
        self._open: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def receiving(self, certificate: Path | None = None) -> AsyncIterator[Self]:
        """Receive on a port of the loopback interface, with TLS if there is a certificate."""
        tls = _tls(certificate) if certificate else None
        server = await asyncio.start_server(self._take, "127.0.0.1", 0, ssl=tls)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/told"
        try:
            yield self
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            await server.wait_closed()

    def reply_to(self, message: Received) -> Reply:
        """Return how ``message``, the newest, is answered."""
        return next(self._replies)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            message = await _read(reader)
            self.received.append(message)
            await self.reply_to(message)(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The sender hung up, or the test is over.
        finally:
            writer.close()
            self._open.discard(task)


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    return Received(headers, await reader.readexactly(int(headers["content-length"])))


def receiving(
    *replies: Reply, certificate: Path | None = None
) -> AbstractAsyncContextManager[WebhookReceiver]:
    """Receive while the context is open, and answer with ``replies`` in turn."""
    return WebhookReceiver(*replies).receiving(certificate)


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context
