"""An internet of our own: a network namespace in which every address is this process's.

Whatever is dialled in it, and by whom, arrives at the listener here, so that a server can play the
public web, private networks and all name servers at once, and nothing leaves the machine.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from transcriber.fetch import network

# Addresses that the filter lets pass; here they are our web server's.
PUBLIC_V4 = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
WEB_PORTS = (80, 443)
PORTS = (*WEB_PORTS, 22, 25, 81, 2375, 6379, 8000, 8080, 9200, 11211, 50051, 50061)

# From linux/rtnetlink.h and linux/netlink.h.
_RTM_NEWROUTE = 24
_REQUEST_ACK_CREATE = 0x405
_RT_TABLE_LOCAL = 255
_RTPROT_BOOT = 3
_RT_SCOPE_HOST = 254
_RTN_LOCAL = 2
_RTA_OIF = 4
_LOOPBACK_INDEX = 1
_UNPRIVILEGED_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")

Answer = Callable[[str], AsyncIterator[bytes]]


def enter() -> None:
    """Move this process, which must have one thread, there. Raises OSError where that cannot be."""
    if not network.leave():
        raise OSError("this machine gives no network namespace to us")
    _UNPRIVILEGED_PORTS.write_text("0")
    for family in (socket.AF_INET, socket.AF_INET6):
        _take_all_addresses(family)


def _take_all_addresses(family: socket.AddressFamily) -> None:
    route = struct.pack(
        *("BBBBBBBBI", family, 0, 0, 0),
        *(_RT_TABLE_LOCAL, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, 0),
    )
    route += struct.pack("HHI", 8, _RTA_OIF, _LOOPBACK_INDEX)
    head = struct.pack("IHHII", 16 + len(route), _RTM_NEWROUTE, _REQUEST_ACK_CREATE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as kernel:
        kernel.send(head + route)
        (error,) = struct.unpack_from("i", kernel.recv(4096), 16)
    if error:
        raise OSError(-error, "no route can be set")


@dataclass(frozen=True)
class Hit:
    """A connection to where nobody should have connected, and the first line that was sent."""

    address: str
    port: int
    line: str


@dataclass
class Internet:
    """What arrived at addresses that are not the public web."""

    hits: list[Hit] = field(default_factory=list)

    @asynccontextmanager
    async def serving(self, answer: Answer) -> AsyncIterator[None]:
        """Answer at every address; ``answer`` gives the public web's response to a path."""

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await self._take(answer, reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass  # Whoever called has hung up.
            finally:
                writer.close()

        servers = [await asyncio.start_server(take, sock=_listener(port)) for port in PORTS]
        try:
            yield
        finally:
            for server in servers:
                server.close()

    async def _take(
        self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        address, port = writer.get_extra_info("sockname")[:2]
        address = _plain(address)
        is_web = address in (PUBLIC_V4, PUBLIC_V6) and port in WEB_PORTS
        hit = len(self.hits)
        if not is_web:
            self.hits.append(Hit(address, port, ""))
        line = (await reader.readline()).decode("latin-1").strip()
        if not is_web:
            self.hits[hit] = Hit(address, port, line)
            writer.write(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            return
        await _skip_head(reader)
        async for piece in answer(line.split(" ")[1]):
            writer.write(piece)
            await writer.drain()


async def _skip_head(reader: asyncio.StreamReader) -> None:
    while (await reader.readline()).strip():
        pass


def _listener(port: int) -> socket.socket:
    return socket.create_server(
        ("::", port), family=socket.AF_INET6, backlog=512, dualstack_ipv6=True
    )


def _plain(address: str) -> str:
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)
