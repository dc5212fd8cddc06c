"""The gateway's wiring and life: build, serve, drain."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import grpc
from batchscribe.transcriber.v1.transcriber_service_pb2 import WatchStatusResponse
from batchscribe.v1 import batch_service_pb2, webhook_service_pb2
from batchscribe.v1.batch_service_pb2_grpc import add_BatchServiceServicer_to_server
from batchscribe.v1.webhook_service_pb2_grpc import add_WebhookServiceServicer_to_server

from gateway.access import KeyRing
from gateway.api_key import ApiKey
from gateway.dispatch import Dispatcher
from gateway.errors import StoreUnavailable
from gateway.interceptors import Authenticate, TranslateErrors
from gateway.live import LiveProgress
from gateway.metrics import Metrics
from gateway.models import ModelCatalog
from gateway.observer import Observer
from gateway.open_streams import OpenStreams
from gateway.oversight import Oversight
from gateway.pool import Transcriber, TranscriberPool
from gateway.progress import ProgressMeter
from gateway.readiness import Readiness
from gateway.retry import RetryPolicy
from gateway.servicer import BatchServicer, Gateway
from gateway.settings import Settings
from gateway.settle import Settler
from gateway.store import (
    Accounts,
    BatchStore,
    Figures,
    Ledger,
    Offers,
    Outbox,
    Wake,
    WakeStream,
    connect,
)
from gateway.watch import Watches, WatchTimes
from gateway.webhook_servicer import WebhookServicer
from gateway.webhooks import SendPolicy, WebhookSender
from servicekit import reflection, tasks
from servicekit.egress import Egress
from servicekit.serve import (
    SERVER_OPTIONS,
    CannotListen,
    Health,
    drain,
    open_port,
    until_signalled,
)
from servicekit.telemetry import SILENT, Telemetry

SERVICES = tuple(
    service.full_name
    for file in (batch_service_pb2.DESCRIPTOR, webhook_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
)
# For building, signing and recording an attempt.
WEBHOOK_LEASE_MARGIN_SECONDS = 15.0
# A batch of 500 videos with an option for everything is far from it.
MAX_REQUEST_BYTES = 4 * 1024 * 1024
DAY_MS = 24 * 3600 * 1000


class Server:
    """One gateway."""

    def __init__(self, settings: Settings, telemetry: Telemetry = SILENT) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._metrics = Metrics(self._telemetry.meter)
        observer = Observer(self._telemetry, self._metrics)
        self._redis = connect(settings.redis_url.get_secret_value(), settings.redis_ca_file)
        accounts = Accounts(self._redis)
        self._keys = KeyRing(accounts, ApiKey.parse(settings.api_key.get_secret_value()))
        self._oversight = Oversight(accounts)
        self._streams = OpenStreams(self._keys)
        self._store = BatchStore(self._redis)
        self._wakes = WakeStream(self._redis)
        self._live = LiveProgress()
        self._meter = ProgressMeter(self._live)
        self._models = ModelCatalog(Offers(self._redis), settings.models, settings.default_model)
        self._pool = TranscriberPool(
            settings.transcribers, self._on_status, settings.transcriber_tls
        )
        policy = RetryPolicy(
            settings.max_attempts, settings.retry_base_seconds, settings.retry_max_seconds
        )
        self._dispatcher = Dispatcher(
            self._store,
            self._pool,
            Settler(self._store, policy),
            settings.item_timeout_seconds,
            observer,
        )
        self._watches = Watches(
            self._store,
            self._wakes,
            self._live,
            self._meter,
            WatchTimes(settings.heartbeat_seconds, settings.watch_max_seconds),
        )
        self._outbox = Outbox(self._redis, settings.secret_box)
        self._webhooks = WebhookSender(
            self._store,
            self._outbox,
            SendPolicy(
                settings.webhook_timeout_seconds,
                settings.webhook_timeout_seconds + WEBHOOK_LEASE_MARGIN_SECONDS,
                settings.webhook_retry_seconds,
                allow_http=settings.webhook_allow_http,
            ),
            Egress(settings.egress_allow, settings.egress_ports),
            observer,
        )
        self._health = Health(SERVICES)
        self._pool.listen(on_lost=self._live.lose, on_vanished=self._dispatcher.blame)
        self._wakes.listen(self._on_wake)
        self._metrics.observe(self._pool, self._wakes)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; print the addresses as one line of JSON."""
        async with self.serving() as listening:
            print(json.dumps(listening), flush=True)
            await until_signalled()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[dict[str, str]]:
        """Serve while the context is open, then drain; gives the addresses by protocol."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._redis.aclose)
            # First of all, for nothing of ours may touch data that a newer version has written.
            readiness = Readiness(self._redis, self._health)
            await readiness.check()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
            server, address = self._bind(folder / "own.sock")
            await server.start()
            stack.push_async_callback(server.stop, None)
            http = await self._serve_http(stack, folder / "own.sock")
            async with asyncio.TaskGroup() as group:
                loops = [
                    group.create_task(loop)
                    for loop in (
                        self._wakes.run(),
                        self._pool.run(),
                        readiness.run(),
                        self._webhooks.run(),
                        self._streams.run(),
                        self._metrics.run(Figures(self._redis)),
                        *self._dispatcher.loops(),
                    )
                ]
                yield {
                    "listening": address,
                    "http": http,
                    "metrics": self._telemetry.metrics_address,
                }
                grace_seconds = self._settings.drain_grace_seconds
                await drain(server, self._health, self._finish_work, grace_seconds)
                await tasks.cancel(loops)

    def _bind(self, own_socket: Path) -> tuple[grpc.aio.Server, str]:
        server = grpc.aio.server(
            interceptors=[
                *self._telemetry.interceptors("/batchscribe.", begins_traces=True),
                TranslateErrors(),
                Authenticate(self._keys, self._streams, self._oversight, frozenset(SERVICES)),
            ],
            options=[*self._options().items()],
        )
        gateway = Gateway(
            store=self._store,
            ledger=Ledger(self._redis),
            tiers=self._settings.tiers,
            models=self._models,
            pool=self._pool,
            meter=self._meter,
            watches=self._watches,
            metrics=self._metrics,
            http_webhooks=self._settings.webhook_allow_http,
            file_urls=self._settings.file_urls,
            retention_ms=int(self._settings.retention_days * DAY_MS),
        )
        add_BatchServiceServicer_to_server(BatchServicer(gateway), server)
        add_WebhookServiceServicer_to_server(WebhookServicer(self._outbox), server)
        self._health.add_to(server)
        if self._settings.reflection:
            reflection.enable(server, SERVICES)
        port = open_port(server, self._settings.listen, self._settings.tls)
        server.add_insecure_port(f"unix:{own_socket}")
        host, _, _ = self._settings.listen.rpartition(":")
        return server, f"{host}:{port}"

    def _options(self) -> dict[str, int]:
        # As a table: of an option that is given twice gRPC takes the first.
        return dict(SERVER_OPTIONS) | {
            "grpc.max_receive_message_length": MAX_REQUEST_BYTES,
            "grpc.max_concurrent_streams": self._settings.max_streams_per_connection,
        }

    async def _serve_http(self, stack: AsyncExitStack, own_socket: Path) -> str:
        if not self._settings.http_listen:
            return ""
        # FastAPI and uvicorn take 30 MB, for nothing where there is no HTTP port.
        from gateway.http import create_app, serve_http

        host, _, port = self._settings.http_listen.rpartition(":")
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"unix:{own_socket}"))
        app = create_app(channel, Figures(self._redis).queue)
        try:
            http = await serve_http(app, host, int(port), self._settings.tls)
        except OSError as error:
            raise CannotListen(self._settings.http_listen, str(error.strerror)) from None
        stack.push_async_callback(http.stop)
        return f"{host}:{http.port}"

    async def _finish_work(self) -> None:
        self._watches.drain()
        grace_seconds = self._settings.drain_grace_seconds
        await asyncio.gather(
            self._dispatcher.drain(grace_seconds), self._webhooks.drain(grace_seconds)
        )

    async def _on_status(self, transcriber: Transcriber, status: WatchStatusResponse) -> None:
        self._live.report(transcriber.address, status.tasks)
        self._dispatcher.report(transcriber, status)
        with suppress(StoreUnavailable):
            await self._models.note(status)

    def _on_wake(self, wake: Wake) -> None:
        self._live.end(wake.ended_items)
        self._dispatcher.wake(wake)
