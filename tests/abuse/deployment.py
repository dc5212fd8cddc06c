"""A deployment with every secret that operators and users have, at work and in trouble.

What it writes, shows and answers comes back as texts by name; its logs go where ours go.
"""

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import redis
from batchscribe.client import Client
from batchscribe.client.errors import BatchscribeError
from batchscribe.v1.batch_pb2 import BatchOptions

from bench.processes import Service, started
from gateway.secret_box import new_key
from servicekit.egress import Egress
from servicekit.tls import PemFiles
from tests.abuse import leaks, webhooks
from tests.abuse.fetching import MODEL
from tests.abuse.leaks import Planted
from tests.abuse.names import PUBLIC
from tests.certificates import Authority
from tests.collector import collecting
from tests.valkey import Valkey
from transcriber.socks import SocksServer

_HOST = "127.0.0.1"
_ANY_PORT = f"{_HOST}:0"
_VIDEOS = (f"http://{PUBLIC}/ok.mp3", f"http://{PUBLIC}/missing.mp3", f"http://{_HOST}/inside.mp3")
_USER = "gateway"

Texts = list[tuple[str, str]]


async def texts(planted: Planted, folder: Path) -> Texts:
    """Run it, with secrets that are planted, and return all that it lets out but its logs."""
    wrong = _wrong_settings(planted, folder)
    found = [(f"the refusal of {[*one]}", await _refusal(one)) for one in wrong]
    with collecting() as collector, _valkey() as valkey:
        found += await _life(_Settings(planted, folder, collector.environment), valkey)
    assert collector.received, "nothing was traced"
    return found + [("a span", str(span)) for span in collector.received]


async def _life(settings: "_Settings", valkey: Valkey) -> Texts:
    """Return what is seen of services that work, and then lose their proxy and their Redis."""
    planted = settings.planted
    async with (
        AsyncExitStack() as proxy,
        settings.transcriber(await proxy.enter_async_context(_proxy(planted))) as transcriber,
        settings.gateway(valkey, transcriber) as gateway,
    ):
        for service in (transcriber, gateway):
            assert planted.found_in([("", leaks.environment_of(service.pid))]), "it finds nothing"
        door = _Door(gateway, settings.authority, planted)
        await door.rotate()
        found = await door.batch()
        await proxy.aclose()
        found += await door.batch()
        found += await door.refused(planted.plant("wrong key", f"{planted.api_key}x"))
        found += _held(valkey)
        _lock(valkey)
        found += await door.refused(planted.api_key)
        found += [await _metrics(service) for service in (gateway, transcriber)]
        return [*found, *leaks.processes(os.getpid()).items()]


class _Settings:
    """The settings of both services, and the secrets in them."""

    def __init__(self, planted: Planted, folder: Path, telemetry: Mapping[str, str]) -> None:
        self.planted = planted
        self.authority = Authority(folder / "authority")
        self._folder = folder
        token = planted.plant("token of the collector")
        self._telemetry = {**telemetry, "OTEL_EXPORTER_OTLP_HEADERS": f"x-token={token}"}

    def transcriber(self, proxy_url: str) -> AbstractAsyncContextManager[Service]:
        tls = self._certificate("transcriber")
        return self._service(
            "transcriber",
            listen=_ANY_PORT,
            models=MODEL,
            model_dir=self._folder / "models",
            work_dir=self._folder / "work",
            cookies_file=self.planted.cookies_file(self._folder),
            proxy=proxy_url,
            tls_cert_file=tls.cert,
            tls_key_file=tls.key,
            tls_client_ca_file=tls.ca,
            metrics_listen=_ANY_PORT,
            log_level="DEBUG",
            drain_grace_seconds=0,
        )

    def gateway(self, valkey: Valkey, transcriber: Service) -> AbstractAsyncContextManager[Service]:
        clients, transcribers = self._certificate("gateway"), self._certificate("client")
        return self._service(
            "gateway",
            listen=_ANY_PORT,
            http_listen=_ANY_PORT,
            redis_url=_let_in(valkey, self.planted.plant("password of Redis")),
            api_key=self.planted.api_key,
            encryption_keys=self.planted.plant("encryption key", new_key()),
            tls_cert_file=clients.cert,
            tls_key_file=clients.key,
            transcribers=transcriber.said["listening"],
            transcriber_ca_file=transcribers.ca,
            transcriber_cert_file=transcribers.cert,
            transcriber_key_file=transcribers.key,
            default_model=MODEL,
            models=MODEL,
            max_attempts=1,
            webhook_allow_http=True,
            metrics_listen=_ANY_PORT,
            log_level="DEBUG",
        )

    def _service(self, module: str, **settings: object) -> AbstractAsyncContextManager[Service]:
        given = {f"{module}_{name}".upper(): str(value) for name, value in settings.items()}
        return started("-m", module, environment=given | self._telemetry)

    def _certificate(self, name: str) -> PemFiles:
        return _certificate(self.planted, self.authority, name)


@dataclass(frozen=True)
class _Door:
    """A gateway as its users see it."""

    gateway: Service
    authority: Authority
    planted: Planted

    async def rotate(self) -> None:
        """Have a secret that signs webhooks."""
        async with self._client(self.planted.api_key) as client:
            rotated = await client.rotate_webhook_secret()
        self.planted.plant("webhook secret", rotated.secret.removeprefix("whsec_"))

    async def batch(self) -> Texts:
        """Return what a user is told of a batch whose videos succeed and fail."""
        options = BatchOptions(notify_webhook=webhooks.TELLING)
        async with self._client(self.planted.api_key) as client:
            batch = await client.create_batch(_VIDEOS, options=options)
            events = [str(event) async for event in client.watch(batch.batch_id)]
            delivery = await webhooks.settled(client, batch.batch_id)
            ended = await client.get_batch(batch.batch_id)
        return [
            ("a watch", "".join(events)),
            ("a batch", str(ended)),
            ("a delivery", str(delivery)),
        ]

    async def refused(self, key: str) -> Texts:
        """Return what a caller is told who gets nothing, over gRPC and HTTP."""
        return [("an error", await self._error(key)), ("a problem", await self._problem(key))]

    def _client(self, key: str) -> Client:
        address = f"https://{self.gateway.said['listening']}"
        return Client(address, key, ca_file=self.authority.ca, retry_seconds=0)

    async def _error(self, key: str) -> str:
        async with self._client(key) as client:
            try:
                return f"no error but {await client.quota()}"
            except BatchscribeError as error:
                return repr(error)

    async def _problem(self, key: str) -> str:
        trusting = ssl.create_default_context(cafile=self.authority.ca)
        async with httpx2.AsyncClient(verify=trusting, trust_env=False) as client:
            url = f"https://{self.gateway.said['http']}/api/v1/quota"
            response = await client.get(url, headers={"Authorization": f"Bearer {key}"})
        return f"{response.headers} {response.text}"


def _certificate(planted: Planted, authority: Authority, name: str) -> PemFiles:
    issued = authority.issue(name, _HOST)
    assert issued.key
    planted.plant(f"key of {name}", issued.key.read_text().splitlines()[1])
    return issued


def _wrong_settings(planted: Planted, folder: Path) -> list[dict[str, str]]:
    """Return settings that no service can start with."""
    password = planted.plant("password in a wrong setting")
    authority = Authority(folder / "wrong")
    one, other = (_certificate(planted, authority, name) for name in ("one", "other"))
    return [
        {"GATEWAY_REDIS_URL": f"redis//gateway:{password}@x"},
        {"GATEWAY_REDIS_URL": f"redis://gateway:{password}#@x"},
        {"GATEWAY_API_KEY": f"bs_{password}"},
        {"GATEWAY_ENCRYPTION_KEYS": f"{new_key()},{password}"},
        {"GATEWAY_TLS_CERT_FILE": str(one.cert), "GATEWAY_TLS_KEY_FILE": str(other.key)},
        {"TRANSCRIBER_PROXY": f"socks5://fetch:{password}#@x:1"},
        {"TRANSCRIBER_PROXY": f"ftp://fetch:{password}@x:1"},
    ]


async def _refusal(settings: Mapping[str, str]) -> str:
    """Return what the service writes that is given ``settings``, and ends."""
    module = next(iter(settings)).partition("_")[0].lower()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env={"PATH": os.environ["PATH"], "GATEWAY_REDIS_URL": "unix:///nowhere", **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode, f"{[*settings]} was not refused"
    return said.decode()


@asynccontextmanager
async def _proxy(planted: Planted) -> AsyncIterator[str]:
    """Be the proxy of an operator; gives its address."""
    listener = socket.create_server((_HOST, 0))
    async with SocksServer(Egress()).answering(listener) as url:
        planted.plant("password of the proxy", urlsplit(url).password or "")
        yield url.replace("socks5h:", "socks5:")


@contextmanager
def _valkey() -> Iterator[Valkey]:
    valkey = Valkey()
    try:
        valkey.start()
        yield valkey
    finally:
        valkey.close()


def _let_in(valkey: Valkey, password: str) -> str:
    """Return the address of Redis for a gateway with ``password``."""
    with redis.Redis.from_url(valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", _USER, "on", f">{password}", "~*", "&*", "+@all")
    return f"unix://{_USER}:{password}@{valkey.path}"


def _lock(valkey: Valkey) -> None:
    """Let the gateway in no more."""
    with redis.Redis.from_url(valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", _USER, "resetpass", ">another")
        admin.execute_command("CLIENT", "KILL", "USER", _USER)


def _held(valkey: Valkey) -> Texts:
    with redis.Redis.from_url(valkey.url) as admin:
        names = [name.decode() for name in admin.scan_iter()]
        return [(f"{name} in Redis", str(admin.dump(name))) for name in names]


async def _metrics(service: Service) -> tuple[str, str]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        response = await client.get(f"http://{service.said['metrics']}/metrics")
    assert "batchscribe_" in response.text, "nothing was measured"
    return "metrics", response.text
