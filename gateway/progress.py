"""How far a batch is, how fast, and when it will end; no estimate before a measurement.

The end is the audio that is left over the rate of the last minutes, so it follows a pool that
grows or shrinks.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass

from batchscribe.v1.batch_pb2 import Batch, BatchProgress

from gateway.live import LiveProgress
from gateway.store import Tally

WINDOW_MS = 180_000
# A rate over a shorter time than this says more about where segments end than about speed.
SHORTEST_WINDOW_MS = 20_000
SAMPLE_MS = 1_000
BATCHES_REMEMBERED = 4_096


class RateWindow:
    """Audio done at moments of the last minutes."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float]] = deque()

    def rate(self, now_ms: int, done_ms: float, started_ms: int) -> float | None:
        """Note ``done_ms`` and return audio seconds per second; None before a measurement."""
        samples = self._samples
        if not samples or now_ms - samples[-1][0] >= SAMPLE_MS:
            samples.append((now_ms, done_ms))
        while len(samples) > 1 and now_ms - samples[0][0] > WINDOW_MS:
            samples.popleft()
        since_ms, before_ms = samples[0]
        if now_ms - since_ms < SHORTEST_WINDOW_MS:
            since_ms, before_ms = started_ms, 0
        span_ms, gained_ms = now_ms - since_ms, done_ms - before_ms
        return gained_ms / span_ms if started_ms and span_ms > 0 and gained_ms > 0 else None


@dataclass(frozen=True)
class Reading:
    """A batch's progress at one moment; ``estimated_end_ms`` is since 1970."""

    progress: BatchProgress
    estimated_end_ms: int | None


class ProgressMeter:
    """Turns stored counts and live reports into progress; remembers only recent rates."""

    def __init__(self, live: LiveProgress) -> None:
        self._live = live
        self._windows: OrderedDict[str, RateWindow] = OrderedDict()

    def read(self, batch_id: str, tally: Tally, now_ms: int) -> Reading:
        """Return how far the batch is; ``tally`` is its newest known revision."""
        live_ms = self._live.processed_ms(batch_id)
        has_ended = tally.ended == tally.total
        rate = self._rate(batch_id, tally, live_ms, now_ms, has_ended)
        processed_ms = min(tally.ended_total_ms + live_ms, tally.total_audio_ms)
        end_ms = None
        if rate and tally.ended and not tally.unresolved and not has_ended:
            end_ms = now_ms + int((tally.total_audio_ms - processed_ms) / rate)
        return Reading(_progress(tally, processed_ms, rate), end_ms)

    def fill(self, batch: Batch, tally: Tally, now_ms: int) -> Batch:
        """Put progress and estimated end into ``batch``."""
        reading = self.read(batch.batch_id, tally, now_ms)
        batch.progress.CopyFrom(reading.progress)
        if reading.estimated_end_ms:
            batch.estimated_end_time.FromMilliseconds(reading.estimated_end_ms)
        return batch

    def _rate(
        self, batch_id: str, tally: Tally, live_ms: int, now_ms: int, has_ended: bool
    ) -> float | None:
        if has_ended:
            self._windows.pop(batch_id, None)
            return None
        window = self._windows.setdefault(batch_id, RateWindow())
        self._windows.move_to_end(batch_id)
        if len(self._windows) > BATCHES_REMEMBERED:
            self._windows.popitem(last=False)
        return window.rate(now_ms, tally.done_audio_ms + live_ms, tally.started_ms)


def _progress(tally: Tally, processed_ms: float, rate: float | None) -> BatchProgress:
    progress = BatchProgress(
        total=tally.total,
        pending=tally.pending,
        fetching=tally.fetching,
        transcribing=tally.transcribing,
        waiting_retry=tally.waiting_retry,
        succeeded=tally.succeeded,
        failed=tally.failed,
        cancelled=tally.cancelled,
        skipped=tally.skipped,
        fraction=processed_ms / tally.total_audio_ms if tally.total_audio_ms else 0.0,
        audio_total_estimated=tally.known < tally.total,
        realtime_factor=rate,
        unresolved=tally.unresolved,
    )
    progress.audio_processed.FromMilliseconds(int(processed_ms))
    progress.audio_total.FromMilliseconds(int(tally.total_audio_ms))
    return progress
