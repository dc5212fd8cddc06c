"""A real Envoy with the configuration that we ship, before gateways of the test."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

from servicekit.tls import PemFiles
from tests.support import free_port, wait_until

SHIPPED = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"
PROGRAM = Path(sys.executable).with_name("envoy")
START_SECONDS = 30.0


@dataclass(frozen=True)
class Envoy:
    """Where it takes calls, and where it tells of itself."""

    address: str
    admin: str

    async def calls(self, cluster: str, what: str = "rq_total") -> list[int]:
        """Return a count of each gateway in a cluster."""
        async with httpx2.AsyncClient(base_url=f"http://{self.admin}") as client:
            lines = (await client.get("/clusters")).text.splitlines()
        told = (line.split("::") for line in lines)
        return [int(one[3]) for one in told if (one[0], one[2]) == (cluster, what)]

    async def healthy(self) -> int:
        """Return how many gateways get calls, of both kinds at least."""
        async with httpx2.AsyncClient(base_url=f"http://{self.admin}") as client:
            told = (await client.get("/clusters")).text.splitlines()
        is_up = [line for line in told if line.endswith("::health_flags::healthy")]
        return min(sum(line.startswith(kind) for line in is_up) for kind in ("grpc::", "http::"))


@asynccontextmanager
async def running_envoy(
    folder: Path, certificate: PemFiles, grpc: Sequence[str], http: Sequence[str]
) -> AsyncIterator[Envoy]:
    """Run Envoy before the gateways at these addresses until the context closes."""
    envoy = Envoy(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    file = folder / "envoy.yaml"
    file.write_text(yaml.safe_dump(_placed(envoy, certificate, {"grpc": grpc, "http": http})))
    options = ("--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error")
    process = await asyncio.create_subprocess_exec(PROGRAM, "-c", file, *options)
    try:
        await wait_until(lambda: _is_ready(envoy, len(grpc)), START_SECONDS)
        yield envoy
    finally:
        process.kill()
        await process.wait()


async def _is_ready(envoy: Envoy, gateways: int) -> bool:
    try:
        return await envoy.healthy() == gateways
    except httpx2.TransportError:
        return False


def _placed(envoy: Envoy, certificate: PemFiles, gateways: dict[str, Sequence[str]]) -> Any:
    """Return what we ship with the addresses and files of this machine; all else stays."""
    config = yaml.safe_load(SHIPPED.read_text())
    static = config["static_resources"]
    (listener,) = static["listeners"]
    config["admin"]["address"] = _socket(envoy.admin)
    listener["address"] = _socket(envoy.address)
    tls = listener["filter_chains"][0]["transport_socket"]["typed_config"]["common_tls_context"]
    (shown,) = tls["tls_certificates"]
    shown["certificate_chain"]["filename"] = str(certificate.cert)
    shown["private_key"]["filename"] = str(certificate.key)
    for cluster in static["clusters"]:
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        endpoints["lb_endpoints"] = [
            {"endpoint": {"address": _socket(address)}} for address in gateways[cluster["name"]]
        ]
    return config


def _socket(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
