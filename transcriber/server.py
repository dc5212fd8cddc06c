"""Builds a transcriber from its settings and runs it until it is asked to stop."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import grpc
import structlog
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.transcriber.v1 import transcriber_service_pb2_grpc as contract_grpc

from servicekit import reflection, serve
from transcriber.children import Child, JobFailed
from transcriber.pipeline import Pipeline, Terms
from transcriber.resolver import SourceResolver
from transcriber.runner import TaskRunner
from transcriber.scratch import Scratch
from transcriber.servicer import TranscriberServicer
from transcriber.settings import Settings
from transcriber.tasks import TaskTable
from transcriber.watchers import Watchers

SERVICE = contract.DESCRIPTOR.services_by_name["TranscriberService"].full_name

_PACKAGES = ("av", "batchscribe", "ctranslate2", "faster-whisper", "yt-dlp")
_CLOSE_SECONDS = 1.0
# All that a child needs to know of our environment: no settings, no keys.
_PASSED_ON = ("CUDA_", "HF_", "LANG", "LC_", "LD_LIBRARY_PATH", "OMP_", "PYTHON", "SSL_CERT_", "TZ")

log = structlog.get_logger()


class CannotStart(Exception):
    """The transcriber cannot begin; the message says why, for people."""


class Transcriber:
    """One process's worth of objects, wired together."""

    def __init__(self, settings: Settings, scratch: Scratch) -> None:
        self._settings = settings
        versions = {package: version(package) for package in _PACKAGES}
        environment = _environment(scratch)
        watchers = Watchers()
        self.watchers = watchers
        self.fetcher = Child(
            "transcriber.fetch", _fetch_setup(settings), environment, lambda state: None
        )
        self.engine = Child(
            "transcriber.engine",
            _engine_setup(settings),
            environment,
            lambda state: self.servicer.set_loaded(state.loaded_models),
        )
        terms = Terms(settings.worker, settings.models, versions, settings.fetch_timeout_seconds)
        pipeline = Pipeline(self.fetcher, self.engine, scratch, terms)
        clock = asyncio.get_running_loop().time
        self.runner = TaskRunner(TaskTable(settings.slots, clock), pipeline.run, watchers)
        resolver = SourceResolver(pipeline.resolve, settings.slots, lambda: self.runner.draining)
        self.servicer = TranscriberServicer(
            self.runner, resolver, watchers, _identity(settings, versions), settings.models
        )

    async def warm_up(self) -> None:
        """Return when both children are up and the models to preload are in memory."""
        for model in self._settings.preloaded:
            request = child_pb2.ChildRequest(load=child_pb2.LoadJob(model=model))
            try:
                await self.engine.run(request, lambda news: None)
            except JobFailed as failed:
                raise CannotStart(f"{failed.error.message} {failed.error.hint}") from None
        await self.fetcher.ready()

    async def finish_work(self) -> None:
        await self.runner.drain(self._settings.drain_grace_seconds)
        self.watchers.close()

    async def stop(self) -> None:
        await asyncio.gather(self.fetcher.stop(), self.engine.stop())


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises CannotStart."""
    with Scratch(settings.work_dir) as scratch:
        transcriber = Transcriber(settings, scratch)
        health = serve.Health([SERVICE])
        server = await _listen(settings, transcriber, health)
        transcriber.fetcher.start()
        transcriber.engine.start()
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
        await transcriber.warm_up()
        await health.set_serving(True)
        log.info("ready")

    asked = asyncio.create_task(serve.until_signalled())
    beginning = asyncio.create_task(begin())
    await asyncio.wait((asked, beginning), return_when=asyncio.FIRST_COMPLETED)
    try:
        if beginning.done():
            beginning.result()
            await asked
    finally:
        asked.cancel()
        beginning.cancel()


async def _listen(
    settings: Settings, transcriber: Transcriber, health: serve.Health
) -> grpc.aio.Server:
    server = grpc.aio.server(options=serve.SERVER_OPTIONS)
    contract_grpc.add_TranscriberServiceServicer_to_server(transcriber.servicer, server)
    health.add_to(server)
    if settings.reflection:
        reflection.enable(server, [SERVICE])
    await health.set_serving(False)
    host = settings.listen.rpartition(":")[0]
    try:
        port = server.add_insecure_port(settings.listen)
    except RuntimeError:
        raise CannotStart(
            f"{settings.listen} cannot be listened on. Is another transcriber running there?"
        ) from None
    await server.start()
    print(json.dumps({"listening": f"{host}:{port}"}), flush=True)
    return server


def _identity(settings: Settings, versions: Mapping[str, str]) -> contract.WatchStatusResponse:
    return contract.WatchStatusResponse(
        boot_id=secrets.token_hex(8),
        worker=settings.worker,
        slots=settings.slots,
        versions=versions,
    )


def _fetch_setup(settings: Settings) -> child_pb2.ChildRequest:
    setup = child_pb2.FetchSetup(
        max_bytes=settings.max_media_bytes,
        cookies_file=str(settings.cookies_file or ""),
        proxy=settings.proxy,
    )
    setup.max_audio.FromMilliseconds(int(settings.max_audio_seconds * 1000))
    return child_pb2.ChildRequest(fetch_setup=setup)


def _engine_setup(settings: Settings) -> child_pb2.ChildRequest:
    setup = child_pb2.EngineSetup(
        model_dir=str(settings.model_dir.absolute()),
        device=settings.device,
        compute_type=settings.compute_type,
        cpu_threads=settings.cpu_threads,
        model_bytes=settings.model_bytes,
        model_idle_seconds=settings.model_idle_seconds,
    )
    return child_pb2.ChildRequest(engine_setup=setup)


def _environment(scratch: Scratch) -> dict[str, str]:
    """Return the environment of a child: no home to read from, and next to nothing of ours."""
    passed_on = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    # yt-dlp finds the JavaScript engine that was installed with it on this path.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {
        # Threads of OpenMP would otherwise spin while they wait, which on busy cores costs others
        # and themselves many times the work.
        "OMP_WAIT_POLICY": "PASSIVE",
        # Threads of glibc's allocator would each keep what they once needed.
        "MALLOC_ARENA_MAX": "2",
        # Both libraries report what runs here to their makers unless told not to.
        "ORT_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **passed_on,
        "PATH": path,
        "HOME": str(scratch.home),
    }
