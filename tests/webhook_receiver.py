"""A receiver of webhooks that answers as it is told, down to the bytes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import Any

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


@dataclass
class WebhookReceiver:
    """Answers the nth POST with the nth reply, and those behind with the last one."""

    replies: Iterator[Reply]
    url: str = ""
    received: list[Received] = field(default_factory=list)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            self.received.append(await _read(reader))
            await next(self.replies)(writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The sender hung up, or the test is over.
        finally:
            writer.close()
            self._open.discard(task)

    def close(self) -> None:
        for task in self._open:
            task.cancel()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    return Received(headers, await reader.readexactly(int(headers["content-length"])))


@asynccontextmanager
async def receiving(
    *replies: Reply, certificate: Path | None = None
) -> AsyncIterator[WebhookReceiver]:
    """Receive on a port of the loopback interface, with TLS if there is a certificate."""
    first: Iterable[Reply] = replies or (status(200),)
    *_, last = first
    receiver = WebhookReceiver(chain(first, repeat(last)))
    tls = _tls(certificate) if certificate else None
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    receiver.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/told"
    try:
        yield receiver
    finally:
        server.close()
        receiver.close()
        await server.wait_closed()


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context
