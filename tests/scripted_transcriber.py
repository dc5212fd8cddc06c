"""A transcriber that does as it is told: a real servicer on a real socket, without a model."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    CancelTaskRequest,
    CancelTaskResponse,
    PlaylistEntry,
    ResolveSourceRequest,
    ResolveSourceResponse,
    ServedModel,
    TaskStage,
    TaskStatus,
    TranscribeRequest,
    TranscribeResponse,
    WatchStatusRequest,
    WatchStatusResponse,
)
from batchscribe.transcriber.v1.transcriber_service_pb2_grpc import (
    TranscriberServiceServicer,
    add_TranscriberServiceServicer_to_server,
)
from batchscribe.v1.batch_pb2 import ItemError
from batchscribe.v1.transcript_pb2 import Transcript

from servicekit import status
from servicekit.serve import SERVER_OPTIONS
from servicekit.telemetry import SILENT, Telemetry
from servicekit.tls import PemFiles

Script = Callable[["ScriptedTranscriber", TranscribeRequest], Awaitable[TranscribeResponse]]
Resolve = Callable[[ResolveSourceRequest], Awaitable[ResolveSourceResponse]]


def succeeded(seconds: float = 2.0) -> TranscribeResponse:
    transcript = Transcript(language_code="en", text="Hello.")
    transcript.duration.FromMilliseconds(int(seconds * 1000))
    transcript.segments.add(index=0, text="Hello.")
    transcript.source.title = "A title"
    transcript.provenance.worker = "scripted"
    return TranscribeResponse(transcript=transcript)


def failed(reason: str = "NO_AUDIO", *, retryable: bool = False) -> TranscribeResponse:
    return TranscribeResponse(error=ItemError(reason=reason, message="No.", retryable=retryable))


def playlist(*urls: str, title: str = "A list") -> ResolveSourceResponse:
    """Return a playlist of these addresses, each of two seconds."""
    found = ResolveSourceResponse()
    found.playlist.title = title
    for url in urls:
        found.playlist.entries.add(url=url, title=f"Title of {url}").duration.FromSeconds(2)
    return found


async def one_video(request: ResolveSourceRequest) -> ResolveSourceResponse:
    """What there is where nothing is a playlist."""
    return ResolveSourceResponse(video=PlaylistEntry(url=request.url))


async def at_once(_: "ScriptedTranscriber", __: TranscribeRequest) -> TranscribeResponse:
    """The script of a transcriber that needs no time."""
    return succeeded()


async def for_ever(_: "ScriptedTranscriber", __: TranscribeRequest) -> TranscribeResponse:
    """The script of a transcriber that comes to no end."""
    await asyncio.Event().wait()
    return succeeded()


async def reusable(_: "ScriptedTranscriber", __: TranscribeRequest) -> TranscribeResponse:
    """The script of a transcriber whose weights are known, so that results may be used again."""
    answer = succeeded()
    answer.transcript.provenance.model_sha256 = "0" * 64
    return answer


def waiting(gate: asyncio.Event) -> Script:
    """Return the script of a transcriber that ends nothing before ``gate`` is set."""

    async def wait(_: "ScriptedTranscriber", __: TranscribeRequest) -> TranscribeResponse:
        await gate.wait()
        return succeeded()

    return wait


class ScriptedTranscriber(TranscriberServiceServicer):
    """Runs ``script`` for every Transcribe call and reports what tasks are open.

    ``resolve`` answers ResolveSource.
    """

    def __init__(
        self, script: Script = at_once, slots: int = 4, resolve: Resolve = one_video
    ) -> None:
        self.script = script
        self.resolve = resolve
        self.slots = slots
        self.address = ""
        self.tasks: dict[str, TaskStatus] = {}
        self.cancelled: dict[str, asyncio.Event] = {}
        self.seen: Counter[str] = Counter()
        self.refused = 0
        self.most_at_once = 0
        self.statuses = 0
        self.resolved: Counter[str] = Counter()
        self._changed = asyncio.Event()

    async def Transcribe(
        self, request: TranscribeRequest, context: status.Context
    ) -> TranscribeResponse:
        if len(self.tasks) >= self.slots:
            self.refused += 1
            busy = status.build(grpc.StatusCode.UNAVAILABLE, "BUSY", "No free slot.")
            await status.abort(context, busy)
        self.seen[request.url] += 1
        self.cancelled[request.task_id] = asyncio.Event()
        self.report(request, TaskStage.TASK_STAGE_FETCHING)
        self.most_at_once = max(self.most_at_once, len(self.tasks))
        try:
            return await self._until_cancelled(request, context)
        finally:
            self.tasks.pop(request.task_id, None)
            self._changed.set()

    async def _until_cancelled(
        self, request: TranscribeRequest, context: status.Context
    ) -> TranscribeResponse:
        work = asyncio.ensure_future(self.script(self, request))
        stop = asyncio.ensure_future(self.cancelled[request.task_id].wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if work.done():
            return work.result()
        work.cancel()
        told = status.build(grpc.StatusCode.CANCELLED, "TASK_CANCELLED", "As asked.")
        await status.abort(context, told)

    def report(
        self,
        request: TranscribeRequest,
        stage: TaskStage.ValueType,
        processed_seconds: float = 0,
        duration_seconds: float = 0,
    ) -> None:
        """Say in WatchStatus how far a task is."""
        task = TaskStatus(task_id=request.task_id, epoch=request.epoch, stage=stage)
        if duration_seconds:
            task.audio_duration.FromMilliseconds(int(duration_seconds * 1000))
            task.audio_processed.FromMilliseconds(int(processed_seconds * 1000))
        self.tasks[request.task_id] = task
        self._changed.set()

    def offer(self, slots: int) -> None:
        """Have so many slots from now on, and say so in WatchStatus."""
        self.slots = slots
        self._changed.set()

    async def ResolveSource(
        self, request: ResolveSourceRequest, context: status.Context
    ) -> ResolveSourceResponse:
        self.resolved[request.url] += 1
        return await self.resolve(request)

    def has_said(self, statuses: int) -> bool:
        """Say whether so many statuses have gone out."""
        return self.statuses >= statuses

    async def CancelTask(
        self, request: CancelTaskRequest, context: status.Context
    ) -> CancelTaskResponse:
        if event := self.cancelled.get(request.task_id):
            event.set()
        return CancelTaskResponse()

    async def WatchStatus(
        self, request: WatchStatusRequest, context: status.Context
    ) -> AsyncIterator[WatchStatusResponse]:
        while True:
            self._changed.clear()
            self.statuses += 1
            yield WatchStatusResponse(
                boot_id="boot",
                worker="scripted",
                slots=self.slots,
                models=[
                    ServedModel(name="tiny.en", loaded=True),
                    ServedModel(name="base", multilingual=True),
                ],
                tasks=self.tasks.values(),
            )
            try:
                await asyncio.wait_for(self._changed.wait(), 2)
            except TimeoutError:
                continue


@asynccontextmanager
async def running(
    transcriber: ScriptedTranscriber,
    address: str = "127.0.0.1:0",
    tls: PemFiles | None = None,
    telemetry: Telemetry = SILENT,
) -> AsyncIterator[ScriptedTranscriber]:
    """Serve the transcriber while the context is open; its address is set by then."""
    server = grpc.aio.server(
        options=list(SERVER_OPTIONS),
        interceptors=telemetry.interceptors("/batchscribe.", begins_traces=False),
    )
    add_TranscriberServiceServicer_to_server(transcriber, server)
    port = (
        server.add_secure_port(address, tls.server_credentials())
        if tls
        else server.add_insecure_port(address)
    )
    transcriber.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield transcriber
    finally:
        await server.stop(None)
