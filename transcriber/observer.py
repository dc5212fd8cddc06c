"""What is recorded of a task: a span for each of its stages, and how full its batches were."""

import time
from contextlib import AbstractContextManager

from batchscribe.transcriber.v1 import child_pb2
from opentelemetry.trace import Span

from servicekit.telemetry import CALL_SECONDS, Telemetry, is_traced

FILLS = tuple(tenth / 10 for tenth in range(1, 11))


class Observer:
    """Records the stages of tasks below the calls that began them."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._fetch_seconds = telemetry.meter.create_histogram(
            "batchscribe.fetch.duration",
            "s",
            "Time for fetching and decoding a video.",
            explicit_bucket_boundaries_advisory=CALL_SECONDS,
        )
        self._fill = telemetry.meter.create_histogram(
            "batchscribe.batch.fill",
            "",
            "Rows in the batches of a video, as a share of those that fit.",
            explicit_bucket_boundaries_advisory=FILLS,
        )

    def stage(self, name: str) -> AbstractContextManager[Span]:
        """Open the span of a stage."""
        return self._telemetry.span(name)

    def fetched(self, fetched: child_pb2.Fetched) -> None:
        """Note a source that has just been fetched and decoded."""
        fetch_ns = fetched.timings.fetch.ToNanoseconds()
        decode_ns = fetched.timings.decode.ToNanoseconds()
        self._fetch_seconds.record((fetch_ns + decode_ns) / 1e9)
        # The child does it and has no telemetry of its own: its end is now.
        if is_traced():
            begun_ns = time.time_ns() - decode_ns
            self._telemetry.tracer.start_span("decode", start_time=begun_ns).end()

    def transcribed(self, transcribed: child_pb2.Transcribed, span: Span) -> None:
        """Note what decoding the speech took; ``span`` is that of the stage."""
        span.set_attribute("batchscribe.rows", transcribed.rows)
        if transcribed.rows:
            self._fill.record(transcribed.fill)
