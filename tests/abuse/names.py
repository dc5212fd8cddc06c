"""Name servers for the internet of the tests: names that lead inside, and names that change."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

from dnslib import AAAA, CNAME, QTYPE, RR, A, DNSRecord

from tests.abuse.internet import PUBLIC_V4, PUBLIC_V6

PUBLIC = "public.example"
CHANGING = "rebind.example"  # Every second look-up leads inside.
MUTE = "mute.example"  # Never answered.

# What the name servers of an attacker say.
RECORDS: Mapping[str, Sequence[str]] = {
    PUBLIC: (PUBLIC_V4, PUBLIC_V6),
    "v4.public.example": (PUBLIC_V4,),
    "v6.public.example": (PUBLIC_V6,),
    "loopback.example": ("127.0.0.1",),
    "loopback6.example": ("::1",),
    "metadata.example": ("169.254.169.254",),
    "private.example": ("10.0.0.5",),
    "cgnat.example": ("100.100.100.200",),
    "zero.example": ("0.0.0.0",),
    "unspecified.example": ("::",),
    "mapped.example": ("::ffff:127.0.0.1",),
    "nat64.example": ("64:ff9b::7f00:1",),
    "sixtofour.example": ("2002:7f00:1::",),
    "ula.example": ("fd00:ec2::254",),
    "mixed.example": (PUBLIC_V4, "127.0.0.1"),
    "mixed6.example": (PUBLIC_V4, "fd00::1"),
    "alias.example": ("loopback.example",),
    "app.localhost": ("127.0.0.1",),
    "xn--mnchen-3ya.example": ("192.168.1.1",),
}


class NameServer(asyncio.DatagramProtocol):
    """Answers for every name server in the world; unknown names do not exist."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = DNSRecord.parse(data)
        name = str(question.q.qname).rstrip(".").lower()
        if name == MUTE:
            return
        reply = question.reply()
        values = self._values(name, question.q.qtype)
        if values is None:
            reply.header.rcode = 3
        for record in _records(name, values or (), question.q.qtype):
            reply.add_answer(record)
        self._transport.sendto(reply.pack(), addr)

    def _values(self, name: str, kind: int) -> Sequence[str] | None:
        if not name.endswith(CHANGING):
            return RECORDS.get(name)
        if kind != QTYPE.A:
            return ()
        self._asked[name] += 1
        return (PUBLIC_V4,) if self._asked[name] % 2 else ("127.0.0.1",)


def _records(name: str, values: Sequence[str], kind: int) -> list[RR]:
    found = []
    for value in values:
        if value in RECORDS:
            found.append(RR(name, QTYPE.CNAME, rdata=CNAME(value), ttl=0))
            found.extend(_records(value, RECORDS[value], kind))
        elif kind == QTYPE.A and ip_address(value).version == 4:
            found.append(RR(name, QTYPE.A, rdata=A(value), ttl=0))
        elif kind == QTYPE.AAAA and ip_address(value).version == 6:
            found.append(RR(name, QTYPE.AAAA, rdata=AAAA(ip_address(value).exploded), ttl=0))
    return found


@asynccontextmanager
async def name_server() -> AsyncIterator[None]:
    """Answer at port 53 of every address."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(NameServer, ("0.0.0.0", 53))
    try:
        yield
    finally:
        transport.close()
