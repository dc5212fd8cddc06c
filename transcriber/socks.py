"""A SOCKS5 server (RFC 1928, RFC 1929): the only way that the fetch child has to the network.

Names are looked up here and nowhere in the child, so that each connection of yt-dlp, be it for a
page, a redirect, a segment or a key, is the filter's decision. Only CONNECT is spoken, and only
with the secret of this start: others on the machine can reach the port where the child has no
network of its own.
"""

import asyncio
import hmac
import ipaddress
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from python_socks import ProxyError
from python_socks.async_.asyncio import Proxy

from servicekit.egress import Egress, Forbidden

_USER = "fetch"
_GREETING_SECONDS = 5.0
_DIAL_SECONDS = 12.0  # yt-dlp waits for the reply no longer than 15 s.

_VERSION = 5
_PASSWORD = 2
_NO_METHOD = 0xFF
_PASSWORD_VERSION = 1
_RIGHT, _WRONG = 0, 1
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_GRANTED, _NOT_ALLOWED, _UNREACHABLE, _UNKNOWN_COMMAND, _UNKNOWN_ADDRESS = 0, 2, 4, 7, 8
_CHUNK_BYTES = 64 * 1024

log = structlog.get_logger()

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[str, int], Awaitable[Streams]]


def through(proxy_url: str) -> Connect:
    """Return what dials by way of the operator's own proxy. Raises ValueError."""
    proxy = Proxy.from_url(proxy_url)

    async def connect(address: str, port: int) -> Streams:
        try:
            connection = await proxy.connect(address, port)
        except ProxyError as error:
            raise ConnectionError(str(error)) from error
        return await asyncio.open_connection(sock=connection)

    return connect


class _Refusal(Exception):
    """The child has to be told no; ``reply`` says why."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


class SocksServer:
    """Dials through ``egress`` for whoever knows the secret of this start."""

    def __init__(self, egress: Egress, connect: Connect = asyncio.open_connection) -> None:
        """``connect`` dials what the filter has let pass."""
        self._egress = egress
        self._connect = connect
        self._secret = secrets.token_urlsafe(32)
        self._credentials = _field(_USER) + _field(self._secret)

    @asynccontextmanager
    async def answering(self, listener: socket.socket) -> AsyncIterator[str]:
        """Answer at ``listener`` while the context is open; gives the address to be used there.

        What is connected in the end stays so until one side hangs up.
        """
        host, port = listener.getsockname()
        server = await asyncio.start_server(self._answer, sock=listener)
        try:
            yield f"socks5h://{_USER}:{self._secret}@{host}:{port}"
        finally:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_GREETING_SECONDS):
                await self._authenticate(reader, writer)
                host, port = await _read_request(reader)
            far_reader, far_writer = await self._dial(host, port)
            writer.write(_reply(_GRANTED))
            try:
                await _relay((reader, writer), (far_reader, far_writer))
            finally:
                far_writer.close()
        except _Refusal as refusal:
            writer.write(refusal.reply)
        except (OSError, EOFError):
            pass  # Whoever called has hung up, or said nothing.
        finally:
            writer.close()

    async def _authenticate(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if version != _VERSION or _PASSWORD not in methods:
            raise _Refusal(bytes((_VERSION, _NO_METHOD)))
        writer.write(bytes((_VERSION, _PASSWORD)))
        await reader.readexactly(1)
        user, password = await _read_field(reader), await _read_field(reader)
        if not hmac.compare_digest(user + password, self._credentials):
            raise _Refusal(bytes((_PASSWORD_VERSION, _WRONG)))
        writer.write(bytes((_PASSWORD_VERSION, _RIGHT)))

    async def _dial(self, host: str, port: int) -> Streams:
        try:
            async with asyncio.timeout(_DIAL_SECONDS):
                return await self._egress.dial(host, port, self._connect)
        except Forbidden:
            log.warning("an address was refused to a video", host=host, port=port)
            raise _Refusal(_reply(_NOT_ALLOWED)) from None
        except OSError as error:
            raise _Refusal(_reply(_UNREACHABLE)) from error


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, int]:
    _, command, _, kind = await reader.readexactly(4)
    if command != _CONNECT:
        raise _Refusal(_reply(_UNKNOWN_COMMAND))
    host = await _read_host(reader, kind)
    return host, int.from_bytes(await reader.readexactly(2))


async def _read_host(reader: asyncio.StreamReader, kind: int) -> str:
    if kind == _IPV4:
        return str(ipaddress.IPv4Address(await reader.readexactly(4)))
    if kind == _IPV6:
        return str(ipaddress.IPv6Address(await reader.readexactly(16)))
    if kind == _NAME:
        with suppress(UnicodeDecodeError):
            return (await _read_field(reader))[1:].decode("ascii")
    raise _Refusal(_reply(_UNKNOWN_ADDRESS))


async def _read_field(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(1)
    return length + await reader.readexactly(length[0])


def _field(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def _reply(code: int) -> bytes:
    """Return the answer to a request; the address that was dialled is nobody's concern."""
    return bytes((_VERSION, code, 0, _IPV4, 0, 0, 0, 0, 0, 0))


async def _relay(near: Streams, far: Streams) -> None:
    """Copy both ways until both have said their last, or one breaks."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(near[0], far[1]))
            group.create_task(_copy(far[0], near[1]))
    except* OSError:
        pass


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    if not writer.is_closing():
        writer.write_eof()
