"""One task from address to transcript: through the fetch child, then through the engine child."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchscribe.transcriber.v1 import child_pb2
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.v1 import batch_pb2, transcript_pb2

from transcriber import failures
from transcriber.children import Child, ChildUnavailable
from transcriber.clips import put_into_place
from transcriber.isolation import IsolatedChild
from transcriber.job_table import ChildDied, Ending, JobFailed, JobHung, Listener
from transcriber.observer import Observer
from transcriber.pacing import SitePacing
from transcriber.runner import Report
from transcriber.scratch import Scratch


@dataclass(frozen=True)
class Terms:
    """What every task of this transcriber has in common."""

    worker: str
    models: Sequence[str]
    versions: Mapping[str, str]
    fetch_seconds: float
    silence_seconds: float


# What a job can end with that is about the video or about this transcriber.
_ENDS = (JobFailed, ChildDied, ChildUnavailable)


class Pipeline:
    """Does tasks, any number at a time; the children bound nothing, the task table does."""

    def __init__(
        self,
        fetcher: Child,
        engine: Child,
        scratch: Scratch,
        pacing: SitePacing,
        terms: Terms,
        observer: Observer,
    ) -> None:
        self._fetcher = IsolatedChild(fetcher)
        self._engine = IsolatedChild(engine)
        self._scratch = scratch
        self._pacing = pacing
        self._terms = terms
        self._observer = observer

    async def run(
        self, request: contract.TranscribeRequest, report: Report
    ) -> contract.TranscribeResponse:
        """Return the transcript or what is wrong with the video; report on the way."""
        try:
            transcript = await self._transcript(request, report)
        except _ENDS as end:
            return contract.TranscribeResponse(error=_error_of(end))
        return contract.TranscribeResponse(transcript=transcript)

    async def resolve(
        self, request: contract.ResolveSourceRequest
    ) -> contract.ResolveSourceResponse:
        """Return what is at the address, or what is wrong with it."""
        job = child_pb2.ResolveJob(url=request.url, limit=request.limit)
        try:
            async with self._pacing.turn(request.url):
                reply = await self._ask_fetcher(
                    child_pb2.ChildRequest(resolve=job), lambda news: None
                )
        except _ENDS as end:
            return contract.ResolveSourceResponse(error=_error_of(end))
        return reply.resolved

    async def _transcript(
        self, request: contract.TranscribeRequest, report: Report
    ) -> transcript_pb2.Transcript:
        self._check_model(request.model)
        async with self._scratch.directory() as directory:
            report(contract.TaskStatus(stage=contract.TASK_STAGE_FETCHING))
            with self._observer.stage("fetch"):
                fetched = await self._fetch(request, directory, report)
                self._observer.fetched(fetched)
            report(
                contract.TaskStatus(
                    stage=contract.TASK_STAGE_TRANSCRIBING,
                    title=fetched.source.title,
                    audio_duration=fetched.audio_duration,
                )
            )
            started = time.monotonic()
            transcript = await self._recognize(request, fetched, report)
        self._describe(transcript, request, fetched, time.monotonic() - started)
        return transcript

    def _check_model(self, model: str) -> None:
        if model not in self._terms.models:
            raise _failed("MODEL_UNAVAILABLE", model=model, cause="it is not offered here.")

    async def _fetch(
        self, request: contract.TranscribeRequest, directory: Path, report: Report
    ) -> child_pb2.Fetched:
        job = child_pb2.FetchJob(
            url=request.url, directory=str(directory), clip=request.options.clip
        )
        async with self._pacing.turn(request.url):
            reply = await self._ask_fetcher(
                child_pb2.ChildRequest(fetch=job), lambda news: report(_about(news.news))
            )
        return reply.fetched

    async def _ask_fetcher(
        self, request: child_pb2.ChildRequest, on_news: Listener
    ) -> child_pb2.ChildReply:
        limit_seconds = self._terms.fetch_seconds
        try:
            async with asyncio.timeout(limit_seconds):
                return await self._fetcher.run(request, on_news)
        except TimeoutError:
            raise _failed("SOURCE_TIMED_OUT", limit_seconds=int(limit_seconds)) from None
        except JobHung:
            silence_seconds = int(self._terms.silence_seconds)
            raise _failed("SOURCE_STALLED", limit_seconds=silence_seconds) from None

    async def _recognize(
        self, request: contract.TranscribeRequest, fetched: child_pb2.Fetched, report: Report
    ) -> transcript_pb2.Transcript:
        job = child_pb2.TranscribeJob(
            samples_path=fetched.samples_path,
            model=request.model,
            language=request.language,
            options=request.options,
        )
        with self._observer.stage("transcribe") as span:
            reply = await self._engine.run(
                child_pb2.ChildRequest(transcribe=job), lambda news: report(_done(news.advanced))
            )
            self._observer.transcribed(reply.transcribed, span)
        return reply.transcribed.transcript

    def _describe(
        self,
        transcript: transcript_pb2.Transcript,
        request: contract.TranscribeRequest,
        fetched: child_pb2.Fetched,
        transcribe_seconds: float,
    ) -> None:
        """Add what the engine does not know."""
        put_into_place(transcript, request.options.clip)
        transcript.duration.CopyFrom(fetched.audio_duration)
        transcript.source.CopyFrom(fetched.source)
        transcript.warnings.MergeFrom(fetched.warnings)
        transcript.create_time.GetCurrentTime()
        provenance = transcript.provenance
        provenance.worker = self._terms.worker
        provenance.versions.update(self._terms.versions)
        provenance.options.CopyFrom(request.options)
        provenance.timings.CopyFrom(fetched.timings)
        provenance.timings.transcribe.FromMilliseconds(int(transcribe_seconds * 1000))


def _error_of(end: Exception) -> batch_pb2.ItemError:
    if isinstance(end, JobFailed):
        return end.error
    if isinstance(end, ChildUnavailable):
        return failures.item_error("WORKER_UNAVAILABLE")
    too_large = isinstance(end, ChildDied) and end.ending is Ending.TOO_LARGE
    return failures.item_error("OUT_OF_MEMORY" if too_large else "WORKER_CRASHED")


def _failed(reason: str, **facts: object) -> JobFailed:
    return JobFailed(failures.item_error(reason, **facts))


def _about(news: child_pb2.SourceNews) -> contract.TaskStatus:
    status = contract.TaskStatus(title=news.title)
    if news.HasField("audio_duration"):
        status.audio_duration.CopyFrom(news.audio_duration)
    return status


def _done(advanced: child_pb2.Advanced) -> contract.TaskStatus:
    return contract.TaskStatus(audio_processed=advanced.audio_processed)
