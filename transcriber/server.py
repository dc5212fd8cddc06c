"""Builds a transcriber from its settings and runs it until it is asked to stop."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from importlib.metadata import version

import grpc
import structlog
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.transcriber.v1 import transcriber_service_pb2_grpc as contract_grpc

from servicekit import reflection, serve, tasks, tls
from servicekit.egress import Egress
from servicekit.telemetry import SILENT, Telemetry
from transcriber import programs
from transcriber.children import Child, ChildUnavailable
from transcriber.job_table import JobFailed
from transcriber.observer import Observer
from transcriber.pacing import Pace, SitePacing
from transcriber.pipeline import Pipeline, Terms
from transcriber.resolver import SourceResolver
from transcriber.runner import TaskRunner
from transcriber.scratch import Scratch
from transcriber.servicer import TranscriberServicer
from transcriber.settings import Settings
from transcriber.socks import SocksServer, through
from transcriber.tasks import TaskTable
from transcriber.watchers import Watchers

SERVICE = contract.DESCRIPTOR.services_by_name["TranscriberService"].full_name

_PACKAGES = ("av", "batchscribe", "ctranslate2", "faster-whisper", "yt-dlp")
_CLOSE_SECONDS = 1.0

log = structlog.get_logger()


class CannotStart(Exception):
    """The transcriber cannot begin; the message says why, for people."""


class Transcriber:
    """One process's worth of objects, wired together."""

    def __init__(self, settings: Settings, scratch: Scratch, telemetry: Telemetry) -> None:
        self._settings = settings
        versions = {package: version(package) for package in _PACKAGES}
        watchers = Watchers()
        self.watchers = watchers
        self._changed = asyncio.Event()
        self.fetcher = Child(
            programs.fetcher(settings, scratch.home, _network(settings)),
            programs.fetcher_limits(settings),
            self._changed.set,
        )
        self.engine = Child(
            programs.engine(settings, scratch.home),
            programs.engine_limits(settings),
            self._changed.set,
        )
        terms = Terms(
            settings.worker,
            settings.models,
            versions,
            settings.fetch_timeout_seconds,
            settings.silence_seconds,
        )
        pacing = SitePacing(Pace(settings.site_videos, settings.site_interval_seconds))
        pipeline = Pipeline(self.fetcher, self.engine, scratch, pacing, terms, Observer(telemetry))
        clock = asyncio.get_running_loop().time
        self.runner = TaskRunner(TaskTable(settings.slots, clock), pipeline.run, watchers)
        resolver = SourceResolver(pipeline.resolve, settings.slots, lambda: self.runner.draining)
        self.servicer = TranscriberServicer(
            self.runner, resolver, watchers, _identity(settings, versions), settings.models
        )

    async def start(self) -> None:
        """Return when both children have done what shows that they can work. Raises CannotStart."""
        for child in (self.fetcher, self.engine):
            child.start()
        for child in (self.fetcher, self.engine):
            await _until_ready(child)

    async def tell_truth(self, health: serve.Health) -> None:
        """Say in health and status what the children can do, whenever that changes."""
        while True:
            is_able = self.engine.is_able and self.fetcher.is_able
            self.servicer.set_loaded(self.engine.state.loaded_models)
            self.servicer.set_able(is_able)
            await health.set_serving(is_able)
            await self._changed.wait()
            self._changed.clear()

    async def finish_work(self) -> None:
        await self.runner.drain(self._settings.drain_grace_seconds)
        self.watchers.close()

    async def stop(self) -> None:
        await asyncio.gather(self.fetcher.stop(), self.engine.stop())


async def _until_ready(child: Child) -> None:
    while True:
        try:
            return await child.ready()
        except ChildUnavailable as unavailable:
            # One that died may do better; one that says why it cannot will say so again.
            if isinstance(failed := unavailable.__cause__, JobFailed):
                raise CannotStart(f"{failed.error.message} {failed.error.hint}") from None


async def run(settings: Settings, telemetry: Telemetry = SILENT) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises CannotStart."""
    with Scratch(settings.work_dir, settings.fetch_owner) as scratch:
        transcriber = Transcriber(settings, scratch, telemetry)
        health = serve.Health([SERVICE])
        server = await _listen(settings, transcriber, health, telemetry)
        sweeping = asyncio.create_task(transcriber.runner.sweep())
        try:
            await _until_asked_to_stop(transcriber, health)
            await serve.drain(server, health, transcriber.finish_work, _CLOSE_SECONDS)
        finally:
            sweeping.cancel()
            await server.stop(None)
            await transcriber.stop()


async def _until_asked_to_stop(transcriber: Transcriber, health: serve.Health) -> None:
    async def begin() -> None:
        await transcriber.start()
        log.info("ready")

    asked = asyncio.create_task(serve.until_signalled())
    beginning = asyncio.create_task(begin())
    telling = asyncio.create_task(transcriber.tell_truth(health))
    try:
        await asyncio.wait((asked, beginning), return_when=asyncio.FIRST_COMPLETED)
        if beginning.done():
            beginning.result()
            await asked
    finally:
        await tasks.cancel([asked, beginning, telling])


async def _listen(
    settings: Settings, transcriber: Transcriber, health: serve.Health, telemetry: Telemetry
) -> grpc.aio.Server:
    server = grpc.aio.server(
        options=serve.SERVER_OPTIONS,
        interceptors=telemetry.interceptors("/batchscribe.", begins_traces=False),
    )
    contract_grpc.add_TranscriberServiceServicer_to_server(transcriber.servicer, server)
    health.add_to(server)
    if settings.reflection:
        reflection.enable(server, [SERVICE])
    await health.set_serving(False)
    host = settings.listen.rpartition(":")[0]
    try:
        port = serve.open_port(server, settings.listen, settings.tls)
    except tls.UnusableCertificate as error:
        raise CannotStart(str(error)) from None
    await server.start()
    listening = {"listening": f"{host}:{port}", "metrics": telemetry.metrics_address}
    print(json.dumps(listening), flush=True)
    return server


def _network(settings: Settings) -> SocksServer:
    egress = Egress(settings.egress_allow, settings.egress_ports)
    proxy = settings.proxy.get_secret_value()
    return SocksServer(egress, through(proxy)) if proxy else SocksServer(egress)


def _identity(settings: Settings, versions: Mapping[str, str]) -> contract.WatchStatusResponse:
    return contract.WatchStatusResponse(
        boot_id=secrets.token_hex(8),
        worker=settings.worker,
        slots=settings.slots,
        versions=versions,
    )
