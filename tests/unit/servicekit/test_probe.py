"""The health probe of the images tells a serving server from any other."""

import asyncio
from pathlib import Path

import grpc

from servicekit.probe import is_serving
from servicekit.serve import Health
from tests.certificates import Authority
from tests.support import free_port


async def test_a_server_is_healthy_while_it_serves() -> None:
    """The probe is true while the server says SERVING, and false from the start of its drain."""
    server, health = grpc.aio.server(), Health([])
    health.add_to(server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    answers = []
    for serving in (True, False):
        await health.set_serving(serving)
        answers.append(await asyncio.to_thread(is_serving, address))
    await server.stop(0)
    assert answers == [True, False]


async def test_a_server_that_speaks_tls_is_asked_over_tls(tmp_path: Path) -> None:
    """With an authority and a name the probe is true, without them it is false."""
    server, health = grpc.aio.server(), Health([])
    health.add_to(server)
    files = Authority(tmp_path).issue("server", "gateway.test")
    port = server.add_secure_port("127.0.0.1:0", files.server_credentials())
    await server.start()
    await health.set_serving(True)
    address = f"127.0.0.1:{port}"
    assert await asyncio.to_thread(is_serving, address, "gateway.test", files)
    assert not await asyncio.to_thread(is_serving, address)
    await server.stop(0)


def test_nobody_is_not_healthy() -> None:
    """The probe of a port that nothing listens on is false, not an error."""
    assert not is_serving(f"127.0.0.1:{free_port()}")
