"""What a gateway counts and measures.

Names are those of OpenTelemetry: where they are scraped dots become underscores, and units and
``total`` are added. Ends are counted once over all gateways, by the first that asks the store; what
is said of the whole deployment, each gateway says alike.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable

from batchscribe.transcriber.v1.transcriber_service_pb2 import WatchStatusResponse
from batchscribe.v1.transcript_pb2 import Transcript
from opentelemetry.metrics import CallbackOptions, Meter, NoOpMeter, Observation

from gateway.document import ITEM_STATUS
from gateway.errors import StoreFull, StoreUnavailable
from gateway.pool import TranscriberPool
from gateway.store import Ends, Figures, Queue, WakeStream
from servicekit.telemetry import CALL_SECONDS

READ_SECONDS = 1.0
# The queue is read less often than ends are: every open batch has to be looked at.
ENDS_PER_QUEUE = 10

BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
BATCH_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)
REALTIME_FACTORS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


class Metrics:
    """The instruments of one gateway; with a meter that is off they cost next to nothing."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._queue = Queue()
        self._batches = meter.create_counter("batch.requests", "1", "Batches taken in.")
        self._videos = meter.create_counter(
            "batch.videos.processed", "1", "Videos that have come to an end."
        )
        self._batch_seconds = meter.create_histogram(
            "batch.processing.duration",
            "s",
            "Time of a batch from its first video's start to its last one's end.",
            explicit_bucket_boundaries_advisory=BATCH_SECONDS,
        )
        self._batch_sizes = meter.create_histogram(
            "batch.size.videos",
            "",
            "Videos, or playlists, of a batch that was taken in.",
            explicit_bucket_boundaries_advisory=BATCH_SIZES,
        )
        self._attempts = meter.create_histogram(
            "batchscribe.attempt.duration",
            "s",
            "Time of an attempt at a video, from its lease to its end.",
            explicit_bucket_boundaries_advisory=CALL_SECONDS,
        )
        self._realtime_factor = meter.create_histogram(
            "batchscribe.video.realtime_factor",
            "",
            "Seconds of audio for each second of transcribing, by video.",
            explicit_bucket_boundaries_advisory=REALTIME_FACTORS,
        )
        # Read when asked for, which costs an item less than counting as it happens.
        self._audio_seconds = 0.0
        meter.create_observable_counter(
            "batchscribe.audio.transcribed",
            [lambda _: [Observation(self._audio_seconds)]],
            "s",
            "Audio of videos that succeeded.",
        )
        self._lost = meter.create_counter("batchscribe.leases.lost", "1", "Leases that ran out.")
        self._lost.add(0)
        self._webhooks = meter.create_counter(
            "batchscribe.webhook.attempts", "1", "Attempts to deliver a webhook."
        )

    def batch_created(self, tier: str, size: int) -> None:
        self._batches.add(1, {"user_tier": tier})
        self._batch_sizes.record(size)

    def attempt_ended(self, seconds: float, outcome: str) -> None:
        self._attempts.record(seconds, {"outcome": outcome})

    def transcribed(self, transcript: Transcript) -> None:
        """Note how much audio a transcript is of, and how fast it was made."""
        audio_seconds = transcript.duration.ToMilliseconds() / 1000
        seconds = transcript.provenance.timings.transcribe.ToMilliseconds() / 1000
        self._audio_seconds += audio_seconds
        if seconds:
            self._realtime_factor.record(audio_seconds / seconds)

    def leases_lost(self, count: int) -> None:
        self._lost.add(count)

    def webhook_tried(self, outcome: str) -> None:
        self._webhooks.add(1, {"outcome": outcome})

    def observe(self, pool: TranscriberPool, wakes: WakeStream) -> None:
        """Show how these are whenever somebody looks."""
        self._gauge(
            "batchscribe.transcribers",
            "",
            "Transcribers within reach.",
            lambda: len(_statuses(pool)),
        )
        self._gauge(
            "batchscribe.slots",
            "",
            "Videos that transcribers take at a time.",
            lambda: sum(s.slots for s in _statuses(pool)),
        )
        self._gauge(
            "batchscribe.slots.taken",
            "",
            "Videos that this gateway has there.",
            lambda: sum(member.taken for member in tuple(pool.members.values())),
        )
        self._gauge(
            "batchscribe.watches", "", "Open watches of this gateway.", lambda: wakes.watches
        )
        self._gauge(
            "batchscribe.queue.items",
            "",
            "Videos that wait to be worked on.",
            lambda: self._queue.waiting_items,
        )
        self._gauge(
            "batchscribe.queue.audio",
            "s",
            "Audio still to be done, of unknown length estimated.",
            lambda: self._queue.audio_seconds,
        )

    async def run(self, figures: Figures) -> None:
        """Read for ever what only the store knows, if anybody wants to know."""
        if isinstance(self._meter, NoOpMeter):
            return
        for number in itertools.count():
            with contextlib.suppress(StoreUnavailable, StoreFull):
                self._count(await figures.take_ends())
                if number % ENDS_PER_QUEUE == 0:
                    self._queue = await figures.queue()
            await asyncio.sleep(READ_SECONDS)

    def _count(self, ends: Ends) -> None:
        for state, count in ends.items.items():
            self._videos.add(count, {"status": ITEM_STATUS[state]})
        for seconds in ends.batch_seconds:
            self._batch_seconds.record(seconds)

    def _gauge(self, name: str, unit: str, description: str, read: Callable[[], float]) -> None:
        def observe(_: CallbackOptions) -> list[Observation]:
            return [Observation(read())]

        self._meter.create_observable_gauge(name, [observe], unit, description)


def _statuses(pool: TranscriberPool) -> list[WatchStatusResponse]:
    # Called from the thread that is scraped: the members are copied in one step.
    return [member.status for member in tuple(pool.members.values()) if member.status]
