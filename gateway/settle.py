"""What becomes of a lease when its call has ended. The one place that decides it.

Every end is written under the lease's epoch; if that is stale by now, the write changes nothing.
"""

from collections.abc import Mapping

import grpc
import structlog
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    Playlist,
    ResolveSourceResponse,
    TranscribeResponse,
)
from batchscribe.v1.batch_pb2 import BatchItem, ItemError, ItemState

from gateway import ids, playlists, transcripts
from gateway.retry import RetryPolicy
from gateway.store import BatchStore, Release
from gateway.work import Answer, Work
from servicekit.status import reason_of

log = structlog.get_logger()

# A transcriber that said BUSY or vanished gets this time to change its mind.
HAND_BACK_MS = 200
# Spread over which the items of a site come back when its wait is over.
SITE_SPREAD_MS = 5_000

REFUSED_REASONS = frozenset({"BUSY", "DRAINING"})
# The transcriber let go of a task that it had: cancelled, or taken over by a later lease.
LEFT_REASONS = frozenset({"TASK_CANCELLED", "ADOPTED", "STALE_EPOCH"})

# A server that stops ends open calls with either.
GONE_CODES = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})

# Failures that are not the video's own, and how its lease is given up for them.
RELEASES: Mapping[str, Release] = {
    "WORKER_CRASHED": Release.CRASH,
    "SOURCE_RATE_LIMITED": Release.SITE,
    "SOURCE_BOT_CHECK": Release.SITE,
}

ITEM_TIMEOUT = ItemError(
    reason="ITEM_TIMEOUT",
    message="The video took longer than one attempt may take.",
    hint="Split the video, or allow a longer item_timeout.",
    retryable=True,
)
INTERNAL_ERROR = ItemError(
    reason="INTERNAL_ERROR",
    message="The transcriber failed in a way it should not.",
    hint="Try again; if it happens once more, tell the operator the item's id.",
    retryable=True,
)


class Settler:
    """Writes how an item's attempt ended. Every method may raise StoreUnavailable."""

    def __init__(self, store: BatchStore, policy: RetryPolicy) -> None:
        self._store = store
        self._policy = policy

    async def settle(self, work: Work, answer: Answer, *, is_draining: bool) -> None:
        """Turn the end of a call into the end, the retry or the return of its item."""
        if work.is_stale:
            log.info("dropped a stale result", item=work.lease.item_id, epoch=work.lease.epoch)
        elif isinstance(answer, grpc.aio.AioRpcError):
            await self._settle_broken(work, answer, is_draining=is_draining)
        elif answer.HasField("error"):
            await self._settle_failure(work, answer.error)
        elif isinstance(answer, ResolveSourceResponse):
            await self._settle_playlist(work, answer.playlist)
        else:
            await self._settle_success(work, answer)

    async def _settle_success(self, work: Work, answer: TranscribeResponse) -> None:
        transcript = answer.transcript
        transcript.transcription_id = ids.transcription_id(work.lease.item_id, work.lease.epoch)
        packed = await transcripts.packed(transcript)
        outcome = BatchItem(
            transcription_id=transcript.transcription_id,
            detected_language_code=transcript.language_code,
            warnings=transcript.warnings,
            title=transcript.source.title,
        )
        if transcript.HasField("language_probability"):
            outcome.language_probability = transcript.language_probability
        await self._store.finish(
            work.lease,
            ItemState.ITEM_STATE_SUCCEEDED,
            outcome,
            worker=transcript.provenance.worker,
            duration_ms=transcript.duration.ToMilliseconds(),
            transcript=packed,
            model_sha256=transcript.provenance.model_sha256,
        )

    async def _settle_playlist(self, work: Work, playlist: Playlist) -> None:
        if work.lease.unresolved:
            entries = playlists.entries(work.lease.unresolved, work.lease.request, playlist)
            await self._store.expand(work.lease, list(entries), is_cut=playlist.truncated)

    async def _settle_failure(self, work: Work, error: ItemError) -> None:
        policy = self._policy.overridden_by(work.lease.options.retry_policy)
        delay_ms = policy.delay_ms(error, work.lease.attempts + 1)
        kind = RELEASES.get(error.reason, Release.RETRY)
        if kind is Release.SITE:
            delay_ms = policy.spread_ms(SITE_SPREAD_MS)
        if delay_ms is None:
            outcome = BatchItem(error=error)
            await self._store.finish(
                work.lease, ItemState.ITEM_STATE_FAILED, outcome, worker=work.worker
            )
        else:
            await self._store.release(work.lease, kind, delay_ms=delay_ms, error=error)

    async def _settle_broken(
        self, work: Work, error: grpc.aio.AioRpcError, *, is_draining: bool
    ) -> None:
        """Settle an item whose call ended without a word about the video."""
        code, reason = error.code(), reason_of(error)
        log.info("call ended", item=work.lease.item_id, code=code.name, reason=reason)
        if is_draining:
            await self._store.release(work.lease, Release.OVER, error=_because("GATEWAY_DRAINED"))
        elif reason in REFUSED_REASONS:
            work.transcriber.is_full |= not work.is_resolving
            await self._store.release(
                work.lease, Release.BACK, delay_ms=HAND_BACK_MS, error=_because(reason)
            )
        elif reason in LEFT_REASONS:
            # An item that was to be cancelled ends here; any other is nobody's fault.
            await self._store.release(
                work.lease, Release.LOST, delay_ms=HAND_BACK_MS, error=_because(reason)
            )
        elif code in GONE_CODES:
            await self._store.release(
                work.lease,
                Release.LOST,
                delay_ms=HAND_BACK_MS,
                error=_because("TRANSCRIBER_LOST"),
                boot_id=work.boot_id,
            )
        elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
            await self._settle_failure(work, ITEM_TIMEOUT)
        else:
            await self._settle_failure(work, INTERNAL_ERROR)


def _because(reason: str) -> ItemError:
    """Return an error of which only the reason is kept, in the item's list of attempts."""
    return ItemError(reason=reason)
