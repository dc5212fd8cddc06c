"""The meter of ``make bench-wire`` counts what it should."""

import asyncio
from contextlib import closing

from bench.wire_meter import WireMeter


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer):
        while data := await reader.read(100):
            writer.write(data)


async def test_bytes_and_round_trips_are_counted() -> None:
    """Both directions count; a connection is a round trip, and so is each question."""
    async with await asyncio.start_server(_echo, "127.0.0.1") as echo:
        port = echo.sockets[0].getsockname()[1]
        async with WireMeter(f"127.0.0.1:{port}").serving() as meter:
            host, _, meter_port = meter.address.rpartition(":")
            for _ in range(2):
                reader, writer = await asyncio.open_connection(host, int(meter_port))
                for question in (b"one", b"three"):
                    writer.write(question)
                    assert await reader.readexactly(len(question)) == question
                writer.close()
                assert await reader.read() == b""
    assert (meter.bytes, meter.connections, meter.round_trips) == (32, 2, 6)
