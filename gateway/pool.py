"""The transcribers: one channel each, followed by WatchStatus.

gRPC's own balancing does not see new addresses until a connection breaks, and knows nothing of
slots, so resolving and choosing are done here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import grpc
import structlog
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    WatchStatusRequest,
    WatchStatusResponse,
)
from batchscribe.transcriber.v1.transcriber_service_pb2_grpc import TranscriberServiceStub

from gateway.link import Link
from servicekit import tasks
from servicekit.tls import PemFiles

log = structlog.get_logger()

RESOLVE_SECONDS = 5.0
# A transcriber beats every 2 seconds; after this silence it is taken for lost.
SILENCE_SECONDS = 8.0
REFOLLOW_SECONDS = 0.5

Call: TypeAlias = "grpc.aio.UnaryUnaryCall[Any, Any]"
Listener: TypeAlias = Callable[["Transcriber", WatchStatusResponse], Awaitable[None]]


class Transcriber:
    """One transcriber: the link to it, its last status, and this gateway's open calls on it.

    ``taken`` counts the leases that this gateway has for it; a slot is free when its end is stored.
    """

    def __init__(self, address: str, link: Link) -> None:
        self.address = address
        self.link = link
        self.status: WatchStatusResponse | None = None
        self.calls: set[Call] = set()
        self.taken = 0
        self.is_full = False
        self._last_run: tuple[str, bool] | None = None

    @property
    def stub(self) -> TranscriberServiceStub:
        return self.link.stub

    @property
    def slots(self) -> int:
        return self.status.slots if self.status else 0

    @property
    def free_slots(self) -> int:
        """Slots that this gateway may try to fill; the store knows what others hold."""
        if self.status is None or self.status.draining or self.is_full:
            return 0
        return max(0, self.slots - self.taken)

    @property
    def loaded_models(self) -> frozenset[str]:
        models = self.status.models if self.status else ()
        return frozenset(model.name for model in models if model.loaded)

    def take(self, status: WatchStatusResponse) -> str | None:
        """Keep its word; return the boot id of its last run if that ended without a word."""
        vanished = None
        if self._last_run and self._last_run[0] != status.boot_id and not self._last_run[1]:
            vanished = self._last_run[0]
        self._last_run = status.boot_id, status.draining
        self.status, self.is_full = status, False
        return vanished

    def lose(self) -> None:
        """It went silent: end every call on it, as if the connection had broken."""
        self.status = None
        for call in tuple(self.calls):
            call.cancel()


class TranscriberPool:
    """Follows every transcriber behind ``addresses``; ``run`` never ends by itself."""

    def __init__(
        self, addresses: Sequence[str], on_status: Listener, certificates: PemFiles | None = None
    ) -> None:
        self._certificates = certificates
        self._found: dict[str, frozenset[str]] = dict.fromkeys(addresses, frozenset())
        self._on_status = on_status
        self._members: dict[str, Transcriber] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._on_lost: Callable[[str], None] = _ignore
        self._on_vanished: Callable[[str], None] = _ignore

    @property
    def members(self) -> Mapping[str, Transcriber]:
        return self._members

    def reachable(self, addresses: Collection[str]) -> list[Transcriber]:
        """Transcribers with a free slot, and those at ``addresses``."""
        return [
            member
            for member in self._members.values()
            if member.free_slots > 0 or (member.status and member.address in addresses)
        ]

    def listen(self, on_lost: Callable[[str], None], on_vanished: Callable[[str], None]) -> None:
        """Call back with the address of a transcriber that cannot be reached any more, and with
        the boot id of a run that turns out to have ended without draining.
        """
        self._on_lost, self._on_vanished = on_lost, on_vanished

    async def run(self) -> None:
        try:
            while True:
                await asyncio.gather(*(self._resolve(name) for name in self._found))
                await self._follow_exactly(frozenset().union(*self._found.values()))
                await asyncio.sleep(RESOLVE_SECONDS)
                self._follow_on()
        finally:
            for address in tuple(self._members):
                await self._leave(address)

    async def _resolve(self, name: str) -> None:
        try:
            self._found[name] = await addresses_behind(name)
        except (OSError, UnicodeError) as error:
            # Those known before stay: an outage of DNS must not end the calls that run, and a
            # transcriber that is gone is known by its silence.
            log.warning("cannot resolve transcriber", address=name, error=str(error))

    async def _follow_exactly(self, addresses: frozenset[str]) -> None:
        for address in addresses - self._members.keys():
            member = self._members[address] = Transcriber(address, self._link_to(address))
            self._followers[address] = asyncio.create_task(self._follow(member))
        for address in self._members.keys() - addresses:
            # An address may vanish from DNS while its transcriber finishes: its calls go on.
            if not self._members[address].calls:
                await self._leave(address)

    def _follow_on(self) -> None:
        """Follow those again whose follower has tripped; it never ends by itself."""
        for address, follower in self._followers.items():
            if follower.done():
                log.error("a bug while following", address=address, exc_info=follower.exception())
                self._followers[address] = asyncio.create_task(self._follow(self._members[address]))

    def _link_to(self, address: str) -> Link:
        name = next(name for name, found in self._found.items() if address in found)
        return Link(address, name.rpartition(":")[0].strip("[]"), self._certificates)

    async def _leave(self, address: str) -> None:
        await tasks.cancel([self._followers.pop(address)])
        await self._members.pop(address).link.close()

    async def _follow(self, member: Transcriber) -> None:
        while True:
            try:
                await self._follow_once(member)
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                if member.status is not None:
                    log.warning("transcriber lost", address=member.address, error=_brief(error))
            finally:
                member.lose()
                self._on_lost(member.address)
            await asyncio.sleep(REFOLLOW_SECONDS)
            await member.link.renew()

    async def _follow_once(self, member: Transcriber) -> None:
        stream = member.stub.WatchStatus(WatchStatusRequest())
        try:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    status = await stream.read()
                if not isinstance(status, WatchStatusResponse):
                    return
                if vanished := member.take(status):
                    self._on_vanished(vanished)
                await self._on_status(member, status)
        finally:
            stream.cancel()


def _ignore(_: str) -> None:
    pass


def _brief(error: grpc.aio.AioRpcError | TimeoutError) -> str:
    return error.code().name if isinstance(error, grpc.aio.AioRpcError) else "silent"


async def addresses_behind(name: str) -> frozenset[str]:
    """Return every ip:port behind ``host:port``. Raises OSError, UnicodeError."""
    host, _, port = name.rpartition(":")
    infos = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=1)
    return frozenset(_join(str(info[4][0]), int(port)) for info in infos)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
