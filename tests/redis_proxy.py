"""A proxy in front of Redis that does harm at a chosen command, known by its script's name.

It reads what clients send command by command, and counts the replies, so that it can cut a
connection exactly before a command, or exactly after it has run.
"""

import asyncio
import hashlib
import socket
import ssl
import struct
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import hiredis

from gateway.store import scripts

DELAY_SECONDS = 0.05
CHUNK_BYTES = 65536
UNFINISHED = object()


class Harm(Enum):
    """What is done to a command."""

    DROP_BEFORE = "the connection closes before it is sent"
    DROP_REPLY = "it runs, and the connection closes before its reply"
    RESET = "it runs, and the connection is reset in the middle of its reply"
    DELAY = "it runs a little later"
    FREEZE = "it runs when its caller has long given up"


@dataclass
class _Relay:
    """One client's connection and its own connection to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    sent: deque[Harm | None] = field(default_factory=deque)

    def cut(self) -> None:
        self.client.close()
        self.server.close()

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)  # Close with RST, not FIN.
        self.client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.cut()


class RedisProxy:
    """Passes everything on, but for the next command that ``harm`` was asked for."""

    def __init__(self, upstream: Path) -> None:
        self.url = ""
        self.harmed = asyncio.Event()  # Set when the harm has been done and the command has run.
        self.holding = asyncio.Event()  # Set when a command is held.
        self.seen: Counter[str] = Counter()  # Scripts and other commands, by name.
        self._upstream = upstream
        self._names = {_digest(name): name for name in scripts.NAMES}
        self._target = ""
        self._harm: Harm | None = None
        self._holds_all = False
        self._delay_seconds = 0.0
        self._thawed = asyncio.Event()
        self._relays: dict[asyncio.Task[None], _Relay] = {}

    def harm(self, name: str, harm: Harm) -> None:
        """Do ``harm`` to the next call of the script or command ``name``, once."""
        self._target, self._harm = name, harm
        self.harmed.clear()
        self._thawed.clear()

    def slow_down(self, seconds: float) -> None:
        """Let every command take so much longer from now on."""
        self._delay_seconds = seconds

    def freeze(self) -> None:
        """Hold every command from now on."""
        self._holds_all = True
        self._thawed.clear()

    def thaw(self) -> None:
        """Let go what was held, though its caller may have left."""
        self._holds_all = False
        self._thawed.set()

    async def serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Relay one connection until both of its sides have closed."""
        try:
            upstream, server = await asyncio.open_unix_connection(self._upstream)
        except OSError:
            return client.close()
        relay, task = _Relay(client, server), asyncio.current_task()
        assert task
        self._relays[task] = relay
        with suppress(ConnectionError):
            await asyncio.gather(self._pass_on(reader, relay), self._answer(upstream, relay))
        relay.cut()
        del self._relays[task]

    async def close(self) -> None:
        """Cut every connection and wait for its end."""
        self.thaw()
        for relay in self._relays.values():
            relay.cut()
        if self._relays:
            await asyncio.wait(self._relays)

    async def _pass_on(self, reader: asyncio.StreamReader, relay: _Relay) -> None:
        """Send the client's commands on, one by one, until either side closes."""
        commands = hiredis.Reader(notEnoughData=UNFINISHED)
        while data := await reader.read(CHUNK_BYTES):
            commands.feed(data)
            while (command := commands.gets()) is not UNFINISHED:
                harm = self._harm_for(command)
                if harm is Harm.DROP_BEFORE:
                    self.harmed.set()
                    return relay.cut()
                await self._hold(harm)
                relay.sent.append(harm)
                relay.server.write(_encode(command))
        # The client has left; what it sent still runs, and its replies lead nowhere.
        if not relay.server.is_closing():
            relay.server.write_eof()

    async def _hold(self, harm: Harm | None) -> None:
        await asyncio.sleep(DELAY_SECONDS if harm is Harm.DELAY else self._delay_seconds)
        if harm is Harm.FREEZE or self._holds_all:
            self.holding.set()
            await self._thawed.wait()

    async def _answer(self, upstream: asyncio.StreamReader, relay: _Relay) -> None:
        """Pass replies back, up to the one that is not to arrive whole."""
        replies = hiredis.Reader(notEnoughData=UNFINISHED)
        while data := await upstream.read(CHUNK_BYTES):
            replies.feed(data)
            harms = []
            while replies.gets() is not UNFINISHED:
                harms.append(relay.sent.popleft())
            if Harm.DROP_REPLY in harms:
                relay.cut()
            elif Harm.RESET in harms:
                relay.client.write(data[: len(data) // 2])
                relay.reset()
            elif not relay.client.is_closing():
                relay.client.write(data)
            if any(harms):
                self.harmed.set()

    def _harm_for(self, command: Sequence[bytes]) -> Harm | None:
        name = self._name_of(command)
        self.seen[name] += 1
        if self._harm is None or name != self._target:
            return None
        harm, self._harm = self._harm, None
        return harm

    def _name_of(self, command: Sequence[bytes]) -> str:
        word = command[0].decode().upper()
        if word == "EVALSHA":
            return self._names.get(command[1].decode(), "")
        if word == "EVAL":
            return self._names.get(hashlib.sha1(command[1]).hexdigest(), "")
        return word


def _digest(name: str) -> str:
    return hashlib.sha1(scripts.source(name).encode()).hexdigest()


def _encode(command: Sequence[bytes]) -> bytes:
    parts = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in command)
    return b"*%d\r\n%b" % (len(command), parts)


@asynccontextmanager
async def proxied(socket_path: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[RedisProxy]:
    """Serve a proxy to the Redis at ``socket_path`` while the context is open."""
    proxy = RedisProxy(Path(socket_path))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", ssl=tls)
    try:
        port = server.sockets[0].getsockname()[1]
        proxy.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{port}/0"
        yield proxy
    finally:
        server.close()
        await proxy.close()
