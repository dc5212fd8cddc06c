"""The life of a gRPC server: options, health, reflection, drain on SIGTERM.

A process has one event loop and one ``serve`` call; everything it owns is stopped in ``drain``.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from servicekit.tls import PemFiles

MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # A 10-hour transcript with words is 3.9 MiB.
MAX_METADATA_BYTES = 16 * 1024

_KEEPALIVE_MS = 30_000
_KEEPALIVE_TIMEOUT_MS = 10_000

_PING_TIMEOUT: Sequence[tuple[str, int]] = (
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
    # This is the one that gRPC 1.85 heeds; it would wait a minute for the answer to a ping.
    ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
)

CHANNEL_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    *_PING_TIMEOUT,
    # A Transcribe call sends nothing for minutes: pings must not need data in between.
    ("grpc.http2.max_pings_without_data", 0),
    # A call that finds its transcriber gone should be back within a second or two of its return.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

SERVER_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    *_PING_TIMEOUT,
    # The default minimum of 300 s would answer our own channels with GOAWAY.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Every watcher comes back at the same moment after a restart. Of more calls than this that wait
    # to be taken gRPC cancels some at random; its own defaults are 1000 and 3000.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    # Of more than the first, gRPC would refuse some at random.
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    # Two servers that are given one port by mistake must not share it silently.
    ("grpc.so_reuseport", 0),
)


class CannotListen(Exception):
    """An address cannot be had; the message says why, for people."""

    def __init__(self, address: str, why: str = "another server may be there") -> None:
        super().__init__(f"{address} cannot be listened on: {why}.")


def open_port(server: grpc.aio.Server, address: str, files: PemFiles | None) -> int:
    """Let ``server`` listen at host:port, with TLS if there are files, and return the port.

    Raises CannotListen, UnusableCertificate.
    """
    try:
        if files:
            return server.add_secure_port(address, files.server_credentials())
        return server.add_insecure_port(address)
    except RuntimeError:
        raise CannotListen(address) from None


class Health:
    """``grpc.health.v1`` for the whole server ("") and for each of its services by name."""

    def __init__(self, services: Sequence[str]) -> None:
        self._names = ("", *services)
        self._servicer = HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set_serving(self, serving: bool) -> None:
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in self._names:
            await self._servicer.set(name, status)


async def until_signalled() -> None:
    """Return on the first SIGTERM or SIGINT; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    try:
        await asked.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def drain(
    server: grpc.aio.Server,
    health: Health,
    finish_work: Callable[[], Awaitable[None]],
    grace_seconds: float,
) -> None:
    """Say NOT_SERVING, let ``finish_work`` end what runs, then stop the server."""
    await health.set_serving(False)
    await finish_work()
    await server.stop(grace_seconds)
