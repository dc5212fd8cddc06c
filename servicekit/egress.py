"""Which addresses may be dialled for a user; nothing else in the project decides that.

A name is looked up once, every address behind it is checked, and what is dialled is an address
that was checked: a second look-up, which may answer otherwise, never happens.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

WEB_PORTS = (80, 443)
ANY_PORT = 0

# Special-purpose registries of IANA (RFC 6890), and what clouds keep for themselves.
_DENIED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # This host.
        "10.0.0.0/8",  # Private.
        "100.64.0.0/10",  # Carrier-grade NAT; metadata of some clouds.
        "127.0.0.0/8",  # Loopback.
        "168.63.129.16/32",  # The platform of Azure, which answers every machine there.
        "169.254.0.0/16",  # Link-local; metadata of most clouds.
        "172.16.0.0/12",  # Private.
        "192.0.0.0/24",  # Protocol assignments; metadata of Oracle's cloud.
        "192.0.2.0/24",  # Documentation.
        "192.88.99.0/24",  # Relays of 6to4.
        "192.168.0.0/16",  # Private.
        "198.18.0.0/15",  # Benchmarks.
        "198.51.100.0/24",  # Documentation.
        "203.0.113.0/24",  # Documentation.
        "224.0.0.0/4",  # Multicast.
        "240.0.0.0/4",  # Reserved, and broadcast.
    )
)
# The only part of IPv6 that is given out as unicast addresses of the internet: loopback, private,
# link-local, site-local, multicast and discard addresses are outside.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_DENIED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # Protocol assignments: Teredo, benchmarks, identifiers.
        "2001:db8::/32",  # Documentation.
        "2002::/16",  # 6to4.
        "3ffe::/16",  # 6bone, given back.
        "3fff::/20",  # Documentation.
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = 0x5EFE
_ISATAP_MASK = 0xFDFFFFFF  # All but the bit that tells global from private.
_V4_MASK = 0xFFFFFFFF

_RULE = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d{1,5}|\*))?")
_NAME = re.compile(r"[a-z0-9_.-]+")

# More than fetches and webhooks at a time, so that a name server that never answers holds up
# nobody but those who ask it; the loop's own threads also look up Redis.
_LOOK_UPS = 32
_CONNECT_SECONDS = 5.0


class Forbidden(Exception):
    """Users may not reach this address; nothing was dialled."""


@dataclass(frozen=True)
class Exemption:
    """What an operator lets users reach besides the internet: a name or a network, at ``ports``."""

    name: str
    network: Network | None
    ports: Sequence[int]

    def covers(self, host: str, address: Address, port: int) -> bool:
        """Tell whether ``address``, found behind ``host``, may be dialled at ``port``."""
        if port not in self.ports and ANY_PORT not in self.ports:
            return False
        return host == self.name if self.network is None else address in self.network


def exemption(text: str) -> Exemption:
    """Read ``host``, ``host:port`` or ``host:*``; the host is a name, an address or a network.

    Without a port the two of the web are meant. IPv6 stands in brackets. Raises ValueError.
    """
    form = "host:port, network:port or [IPv6]:port"
    parts = _RULE.fullmatch(text.lower())
    if parts is None:
        raise ValueError(f"{text!r} is no {form}")
    ports = {None: WEB_PORTS, "*": (ANY_PORT,)}.get(parts["port"]) or (int(parts["port"]),)
    host = parts["v6"] or parts["host"]
    try:
        return Exemption("", ipaddress.ip_network(host), ports)
    except ValueError as error:
        if parts["v6"] or not _NAME.fullmatch(host):
            raise ValueError(f"{error}; write {form}") from None
    return Exemption(host, None, ports)


def is_public(address: Address) -> bool:
    """Tell whether ``address`` belongs to the internet, and so does the IPv4 address in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _DENIED_V4)
    inner = ipaddress.IPv4Address(int(address) & _V4_MASK)
    if address in _NAT64:
        return is_public(inner)
    if int(address) >> 32 & _ISATAP_MASK == _ISATAP and not is_public(inner):
        return False
    return address in _GLOBAL_V6 and not any(address in network for network in _DENIED_V6)


def system_addresses(host: str) -> list[str]:
    """Look ``host`` up as this machine does; blocks. Raises OSError."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except ValueError as error:  # The name cannot be one: it is too long or has a NUL in it.
        raise socket.gaierror(socket.EAI_NONAME, "no such name") from error
    return [str(info[4][0]) for info in found]


class Egress:
    """The filter: what is neither public nor exempt is not dialled."""

    def __init__(
        self,
        exemptions: Iterable[Exemption] = (),
        ports: Iterable[int] = WEB_PORTS,
        look_up: Callable[[str], Sequence[str]] = system_addresses,
    ) -> None:
        """``ports`` are those that users may reach on the internet."""
        self._exemptions = tuple(exemptions)
        self._ports = frozenset(ports)
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="look-up")

    async def dial(self, host: str, port: int, connect: Callable[[str, int], Awaitable[T]]) -> T:
        """Return what ``connect`` makes of the first address behind ``host`` that answers.

        Raises Forbidden if one of the addresses is, OSError if there is none, and what
        ``connect`` raises for the last one.
        """
        *others, last = await self._checked_addresses(host, port)
        for address in others:
            with suppress(Exception):
                return await _in_time(connect(address, port))
        return await _in_time(connect(last, port))

    async def _checked_addresses(self, host: str, port: int) -> Sequence[str]:
        host = host.lower().removesuffix(".")
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._look_up, host)
        if not all(self._permits(host, ipaddress.ip_address(address), port) for address in found):
            raise Forbidden(f"{host}:{port}")
        return found

    def _permits(self, host: str, address: Address, port: int) -> bool:
        if any(exemption.covers(host, address, port) for exemption in self._exemptions):
            return True
        return port in self._ports and is_public(address)


async def _in_time(connecting: Awaitable[T]) -> T:
    async with asyncio.timeout(_CONNECT_SECONDS):
        return await connecting
