"""Which processes a stack consists of, and the settings each of them gets.

All ports are chosen here, before anything runs, so that everything can start at the same time.
"""

import itertools
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from batchscribe.client.discovery import Server
from batchscribe.local import valkey
from batchscribe.local.child import Program, StackError
from batchscribe.local.data_dir import DataDir
from grpc_health.v1 import health_pb2, health_pb2_grpc

_LOOPBACK = "127.0.0.1"
# Below those that systems give to outgoing connections, one of which could have taken a port before
# its process listens there.
_PORTS = range(20_000, 32_768)
_CHECK_SECONDS = 1.0


@dataclass(frozen=True)
class StackSettings:
    """What a user can choose; port 0 means any free one, no ``http_port`` means no HTTP.

    Files below ``media_root`` can be transcribed by their ``file:`` addresses.
    """

    data_dir: Path
    model: str = "base"
    model_dir: Path | None = None
    port: int = 0
    http_port: int | None = None
    transcribers: int = 1
    media_root: Path | None = None
    redis_url: str = ""
    keeps_batches: bool = True  # False: begin with an empty Redis.


@dataclass(frozen=True)
class Plan:
    """The programs to run; ``store`` outlives ``services``."""

    server: Server
    store: tuple[Program, ...]
    services: tuple[Program, ...]


def draw_up(settings: StackSettings, folder: DataDir) -> Plan:
    """Choose ports and settings; StackError if a port the user named is taken."""
    redis_port, any_port, any_http_port, *worker_ports = free_ports(3 + settings.transcribers)
    store, redis_url = _store(settings, folder, redis_port)
    http_port = settings.http_port
    http = "" if http_port is None else _address(http_port or any_http_port, "--http-port")
    server = Server(
        address=_address(settings.port or any_port, "--port"),
        api_key=folder.api_key(),
        http=http,
        redis_url=redis_url,
    )
    workers = {
        f"transcriber-{number}": f"{_LOOPBACK}:{port}"
        for number, port in enumerate(worker_ports, start=1)
    }
    gateway = _gateway(settings, folder, server, ",".join(workers.values()))
    transcribers = [
        _transcriber(settings, folder, name, address) for name, address in workers.items()
    ]
    return Plan(server, store, (gateway, *transcribers))


def _store(settings: StackSettings, folder: DataDir, port: int) -> tuple[tuple[Program, ...], str]:
    if settings.redis_url:
        return (), settings.redis_url
    if not settings.keeps_batches:
        shutil.rmtree(folder.redis, ignore_errors=True)
    program, url = valkey.program(folder.redis, folder.log_of("redis"), port, folder.lock)
    return (program,), url


def _gateway(
    settings: StackSettings, folder: DataDir, server: Server, transcribers: str
) -> Program:
    folder.keep_secret("gateway_redis_url", server.redis_url)
    environment = {
        "GATEWAY_LISTEN": server.address,
        "GATEWAY_HTTP_LISTEN": server.http,
        "GATEWAY_SECRETS_DIR": str(folder.secrets),
        "GATEWAY_TRANSCRIBERS": transcribers,
        "GATEWAY_DEFAULT_MODEL": settings.model,
        "GATEWAY_MODELS": settings.model,
        "GATEWAY_RETENTION_DAYS": "0",
        "GATEWAY_FILE_URLS": str(settings.media_root is not None),
    }
    return _service("gateway", "gateway", server.address, folder, environment)


def _transcriber(settings: StackSettings, folder: DataDir, name: str, address: str) -> Program:
    environment = {
        "TRANSCRIBER_LISTEN": address,
        "TRANSCRIBER_WORKER": name,
        "TRANSCRIBER_MODEL_DIR": str(settings.model_dir or folder.path / "models"),
        "TRANSCRIBER_MODELS": settings.model,
        "TRANSCRIBER_PRELOAD": settings.model,
        "TRANSCRIBER_WORK_DIR": str(folder.path / "work" / name),
    }
    if settings.media_root:
        environment["TRANSCRIBER_MEDIA_ROOT"] = str(settings.media_root.absolute())
    return _service("transcriber", name, address, folder, environment)


def _service(
    module: str, name: str, address: str, folder: DataDir, environment: Mapping[str, str]
) -> Program:
    return Program(
        name=name,
        # -P: a folder named like a service in the user's current directory is not ours.
        command=(sys.executable, "-P", "-m", module),
        environment=environment,
        log=folder.log_of(name),
        is_ready=lambda: _is_serving(address),
    )


async def _is_serving(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # Its types lack the methods.
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_CHECK_SECONDS)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _address(port: int, option: str) -> str:
    if obstacle := _obstacle(port):
        raise StackError(f"Port {port} cannot be used ({obstacle}). Choose another with {option}.")
    return f"{_LOOPBACK}:{port}"


def free_ports(count: int) -> list[int]:
    """Return ``count`` loopback ports that nothing listens on right now, or all there are."""
    shuffled = secrets.SystemRandom().sample(_PORTS, len(_PORTS))
    return list(itertools.islice(itertools.filterfalse(_obstacle, shuffled), count))


def _obstacle(port: int) -> str:
    """Say why nothing can listen on a loopback ``port``; empty if something can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""
