"""Which addresses the filter lets pass, and that what it dials is what it has checked."""

import socket
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from servicekit.egress import Egress, Forbidden, exemption, is_public
from tests.abuse.addresses import INTERNAL_V4, INTERNAL_V6, PUBLIC_ADDRESSES

PUBLIC = "93.184.215.14"


class Dialled(list[tuple[str, int]]):
    """Notes what is dialled; ``deaf`` addresses do not answer."""

    def __init__(self, deaf: Sequence[str] = ()) -> None:
        super().__init__()
        self._deaf = deaf

    async def connect(self, address: str, port: int) -> str:
        self.append((address, port))
        if address in self._deaf:
            raise ConnectionRefusedError(address)
        return address


def knowing(*addresses: str, allow: Sequence[str] = ()) -> Egress:
    """A filter for which every name leads to ``addresses``."""
    return Egress(map(exemption, allow), look_up=lambda host: addresses)


@pytest.mark.parametrize("address", [*INTERNAL_V4, *INTERNAL_V6])
def test_internal_addresses_are_not_public(address: str) -> None:
    """No address of a private, special or translated network counts as the internet's."""
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_addresses_are_public(address: str) -> None:
    """Neighbours of denied networks, and public addresses in translated form, can be reached."""
    assert is_public(ip_address(address))


async def test_a_public_address_is_dialled() -> None:
    """What a public name leads to is dialled at the ports of the web."""
    dialled = Dialled()
    assert await knowing(PUBLIC).dial("example.com", 443, dialled.connect) == PUBLIC
    assert dialled == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), (PUBLIC, "127.0.0.1"), ("::1", PUBLIC), ("fe80::1%1",)]
)
async def test_one_internal_address_is_enough(addresses: Sequence[str]) -> None:
    """If one of the addresses behind a name is internal, none of them is dialled."""
    dialled = Dialled()
    with pytest.raises(Forbidden):
        await knowing(*addresses).dial("example.com", 80, dialled.connect)
    assert dialled == []


@pytest.mark.parametrize("port", [0, 22, 81, 6379, 8080, 65535])
async def test_other_ports_are_not_dialled(port: int) -> None:
    """At a public address too, only the ports of the web are dialled."""
    with pytest.raises(Forbidden):
        await knowing(PUBLIC).dial("example.com", port, Dialled().connect)


async def test_a_name_is_looked_up_once() -> None:
    """The address that was checked is the one that is dialled, whatever comes next."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    egress, dialled = Egress(look_up=lambda host: next(answers)), Dialled()
    await egress.dial("rebind.example", 80, dialled.connect)
    with pytest.raises(Forbidden):
        await egress.dial("rebind.example", 80, dialled.connect)
    assert dialled == [(PUBLIC, 80)]


async def test_the_next_address_is_tried() -> None:
    """Of several addresses the first that answers is taken; if none does, the last says why."""
    dialled = Dialled(deaf=[PUBLIC])
    egress = knowing(PUBLIC, "1.1.1.1")
    assert await egress.dial("example.com", 80, dialled.connect) == "1.1.1.1"
    with pytest.raises(ConnectionRefusedError):
        await knowing(PUBLIC).dial("example.com", 80, dialled.connect)


@pytest.mark.parametrize(
    ("rule", "host", "address", "port"),
    [
        ("127.0.0.1:8000", "localhost", "127.0.0.1", 8000),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", 80),
        ("10.1.0.0/16:*", "media.lan", "10.1.2.3", 9000),
        ("Media.LAN:9000", "media.lan.", "10.9.9.9", 9000),
        ("[fd00::/8]:443", "media.lan", "fd00::7", 443),
        ("93.184.215.14:8080", "example.com", PUBLIC, 8080),
    ],
)
async def test_exemptions_let_through(rule: str, host: str, address: str, port: int) -> None:
    """An operator can open a name, an address or a network, at a port, the web's or all."""
    egress = knowing(address, allow=[rule])
    assert await egress.dial(host, port, Dialled().connect) == address


@pytest.mark.parametrize(
    ("rule", "host", "address", "port"),
    [
        ("127.0.0.1:8000", "localhost", "127.0.0.1", 8001),
        ("127.0.0.1", "localhost", "127.0.0.1", 8000),
        ("10.1.0.0/16", "media.lan", "10.2.0.1", 80),
        ("media.lan:9000", "evil.example", "10.9.9.9", 9000),
        ("media.lan:9000", "media.lan.evil.example", "10.9.9.9", 9000),
    ],
)
async def test_exemptions_open_nothing_else(rule: str, host: str, address: str, port: int) -> None:
    """What an exemption does not name stays closed."""
    with pytest.raises(Forbidden):
        await knowing(address, allow=[rule]).dial(host, port, Dialled().connect)


@pytest.mark.parametrize("text", ["", ":80", "a:b", "::1", "10.0.0.1/8", "a b", "[zz]:1", "a:1:2"])
def test_exemptions_that_say_nothing_are_refused(text: str) -> None:
    """A rule that cannot be read is an error, not a rule that allows nothing or everything."""
    with pytest.raises(ValueError):  # noqa: PT011 - whoever reads the settings adds the name.
        exemption(text)


@pytest.mark.parametrize("host", ["", ".", "a" * 64 + ".example", "a..b", "nul\0.example"])
async def test_names_that_cannot_be_are_not_found(host: str) -> None:
    """The system's look-up says of impossible names that they do not exist."""
    with pytest.raises(socket.gaierror):
        await Egress().dial(host, 80, Dialled().connect)
