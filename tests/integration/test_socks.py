"""The filter that the fetch child has to go through, over real sockets."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from python_socks import ProxyError
from python_socks.async_.asyncio import Proxy

from servicekit.egress import Egress, exemption
from tests.support import free_port
from transcriber.socks import SocksServer, through

OUT_OF_NETWORK = """
import socket, sys, json
from transcriber.fetch import network
network.leave()
line, port = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
with network.door() as door:
    socket.send_fds(line, [b"0"], [door.fileno()])
    line.recv(1)
    said = []
    for address in (door.getsockname(), ("127.0.0.1", port)):
        try:
            with socket.create_connection(address, timeout=5) as connection:
                said.append(connection.recv(9).decode())
        except OSError as error:
            said.append(type(error).__name__)
print(json.dumps(said))
"""


@asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """Send back what comes, in capitals; gives the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def filtering(*allow: str, upstream: str = "") -> AsyncIterator[str]:
    """Run the filter; gives its address with the secret."""
    egress = Egress(map(exemption, allow))
    server = SocksServer(egress, through(upstream)) if upstream else SocksServer(egress)
    async with server.answering(socket.create_server(("127.0.0.1", 0))) as proxy_url:
        yield proxy_url


async def ask(proxy_url: str, host: str, port: int, say: bytes = b"hello") -> bytes:
    """Return what ``host`` answers through the proxy."""
    proxy = Proxy.from_url(proxy_url.replace("socks5h", "socks5"), rdns=True)
    connection = await proxy.connect(host, port, timeout=5)
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(say)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_what_is_allowed_is_relayed(host: str) -> None:
    """Bytes go both ways to an address that the operator has opened, also by its name."""
    async with echoing() as port, filtering(f"127.0.0.1:{port}", "[::1]:*") as proxy_url:
        assert await ask(proxy_url, host, port, b"a" * 1_000_000) == b"A" * 1_000_000


async def test_what_is_not_allowed_is_refused() -> None:
    """An address on loopback that nobody has opened is refused as not allowed by the rules."""
    async with echoing() as port, filtering() as proxy_url:
        with pytest.raises(ProxyError, match="not allowed"):
            await ask(proxy_url, "127.0.0.1", port)


async def test_what_does_not_answer_is_unreachable() -> None:
    """A closed port is no matter of rules."""
    async with filtering("127.0.0.1:*") as proxy_url:
        with pytest.raises(ProxyError, match="unreachable"):
            await ask(proxy_url, "127.0.0.1", free_port())


async def test_only_who_knows_the_secret_is_served() -> None:
    """Without the secret of this start nothing is dialled, not even what is allowed."""
    async with echoing() as port, filtering("127.0.0.1:*") as proxy_url:
        parts = urlsplit(proxy_url)
        for login in ("", "fetch:wrong@", f"other:{parts.password}@"):
            with pytest.raises(ProxyError):
                await ask(f"socks5://{login}127.0.0.1:{parts.port}", "127.0.0.1", port)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"\x05\xff"),  # SOCKS4
        (b"\x05\x01\x00", b"\x05\xff"),  # No password offered.
        (b"GET / HTTP/1.1\r\n\r\n" + bytes(99), b"\x05\xff"),
        (b"", b""),
        (b"\x05", b""),
    ],
)
async def test_who_speaks_otherwise_is_sent_away(said: bytes, answer: bytes) -> None:
    """Another protocol, no password or half a greeting ends the connection at once."""
    async with filtering() as proxy_url:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(proxy_url).port)
        writer.write(said)
        writer.write_eof()
        assert await reader.read() == answer
        writer.close()


async def test_an_upstream_proxy_gets_checked_addresses() -> None:
    """The operator's proxy is told an address that was checked, never a name to look up again."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 502 No\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as upstream:
        address = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
        async with filtering("localhost:80", upstream=address) as proxy_url:
            with pytest.raises(ProxyError):
                await ask(proxy_url, "localhost", 80)
    assert asked
    assert {line.split()[1] for line in asked} <= {b"127.0.0.1:80", b"[::1]:80", b"::1:80"}


@pytest.mark.needs_namespaces
async def test_the_fetch_child_has_no_network_but_its_door() -> None:
    """Out of the child's network nothing can be dialled but the port that the parent answers."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"in")
        writer.close()

    ours, theirs = socket.socketpair()
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as outside:
        port = str(outside.sockets[0].getsockname()[1])
        with ours, theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", OUT_OF_NETWORK, str(theirs.fileno()), port),
                pass_fds=[theirs.fileno()],
                stdout=asyncio.subprocess.PIPE,
            )
            _, (door, *_), _, _ = await asyncio.to_thread(socket.recv_fds, ours, 1, 1)
            async with await asyncio.start_server(greet, sock=socket.socket(fileno=door)):
                ours.send(b"1")
                said = json.loads((await process.communicate())[0])
    assert said == ["in", "ConnectionRefusedError"]
