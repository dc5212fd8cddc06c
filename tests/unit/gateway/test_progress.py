"""Progress, rate and estimated end from counts and live reports."""

import dataclasses

import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import TaskStatus

from gateway.live import LiveProgress
from gateway.progress import WINDOW_MS, ProgressMeter, RateWindow
from gateway.store.tally import UNKNOWN_AUDIO_MS, Tally

START_MS = 1_000_000
EMPTY = Tally(*[0] * 15)


def tally(**fields: int) -> Tally:
    return dataclasses.replace(EMPTY, started_ms=START_MS, **fields)


def live(item_id: str, processed_ms: int) -> LiveProgress:
    status = TaskStatus(task_id=item_id, epoch=1)
    status.audio_processed.FromMilliseconds(processed_ms)
    progress = LiveProgress()
    progress.report("one", [status])
    return progress


def test_fraction_is_weighted_by_audio_length() -> None:
    """Three quarters of the audio is three quarters, however many items that is."""
    counts = tally(
        total=2, succeeded=1, transcribing=1, known=2, known_audio_ms=4000, ended_audio_ms=3000
    )
    reading = ProgressMeter(LiveProgress()).read("batch_a", counts, START_MS)
    assert reading.progress.fraction == 0.75
    assert not reading.progress.audio_total_estimated


def test_unknown_lengths_count_as_the_mean_of_the_known() -> None:
    """An item of unknown length weighs as much as the others on average, and that is said."""
    counts = tally(total=4, pending=3, succeeded=1, known=1, known_audio_ms=2000)
    progress = ProgressMeter(LiveProgress()).read("batch_a", counts, START_MS).progress
    assert progress.audio_total.ToMilliseconds() == 8000
    assert progress.audio_total_estimated


def test_without_any_length_a_default_stands_in() -> None:
    """Before one length is known the total is the default for each item, and estimated."""
    progress = ProgressMeter(LiveProgress()).read("a", tally(total=2, pending=2), START_MS).progress
    assert progress.audio_total.ToMilliseconds() == 2 * UNKNOWN_AUDIO_MS


def test_no_estimate_before_an_item_has_ended() -> None:
    """The end is unknown until one item has ended, however much was heard."""
    counts = tally(total=2, transcribing=1, pending=1, known=1, known_audio_ms=10_000)
    meter = ProgressMeter(live("item_a_0", 5000))
    assert meter.read("batch_a", counts, START_MS + 1000).estimated_end_ms is None


def test_no_estimate_while_a_playlist_is_unresolved() -> None:
    """Nobody knows the end of a batch that may still grow."""
    counts = tally(
        total=3, succeeded=1, pending=2, known=1, known_audio_ms=10_000, ended_audio_ms=10_000
    )
    known = dataclasses.replace(counts, done_audio_ms=10_000)
    meter, later = ProgressMeter(LiveProgress()), START_MS + 1000
    assert meter.read("batch_a", known, later).estimated_end_ms is not None
    unresolved = dataclasses.replace(known, unresolved=1)
    assert meter.read("batch_a", unresolved, later).estimated_end_ms is None


def test_end_is_remaining_audio_over_rate() -> None:
    """Half of 20 s of audio in 5 s leaves 5 s."""
    counts = tally(
        total=2,
        succeeded=1,
        pending=1,
        known=1,
        known_audio_ms=10_000,
        ended_audio_ms=10_000,
        done_audio_ms=10_000,
    )
    reading = ProgressMeter(LiveProgress()).read("batch_a", counts, START_MS + 5000)
    assert reading.progress.realtime_factor == pytest.approx(2.0)
    assert reading.estimated_end_ms == START_MS + 10_000


def test_ended_batch_has_no_estimate() -> None:
    """After the end there is nothing to estimate."""
    counts = tally(total=1, succeeded=1, known=1, known_audio_ms=1, done_audio_ms=1)
    reading = ProgressMeter(LiveProgress()).read("batch_a", counts, START_MS + 10)
    assert reading.estimated_end_ms is None
    assert not reading.progress.HasField("realtime_factor")


def test_rate_follows_the_last_minutes() -> None:
    """A pool that became ten times faster is seen to be so once the window has passed."""
    window = RateWindow()
    done = 0.0
    for second in range(WINDOW_MS // 1000 + 60):
        done += 1000
        window.rate(START_MS + second * 1000, done, START_MS)
    for second in range(WINDOW_MS // 1000 + 60, 2 * WINDOW_MS // 1000 + 120):
        done += 10_000
        rate = window.rate(START_MS + second * 1000, done, START_MS)
    assert rate == pytest.approx(10, rel=0.05)


def test_uniform_batch_is_estimated_within_a_fifth_from_half_way() -> None:
    """With three equal items at a time, from the middle on the estimate is within 20 %."""
    progress = LiveProgress()
    meter = ProgressMeter(progress)
    item_ms, rate, at_once, total = 60_000, 2.0, 3, 24
    round_ms = item_ms / rate
    real_end = START_MS + total / at_once * round_ms
    now = START_MS + (real_end - START_MS) / 2
    while now < real_end - round_ms:
        rounds, part = divmod(now - START_MS, round_ms)
        ended = int(rounds) * at_once
        statuses = [TaskStatus(task_id=f"item_a_{ended + i}", epoch=1) for i in range(at_once)]
        for status in statuses:
            status.audio_processed.FromMilliseconds(int(part * rate))
        progress.report("one", statuses)
        counts = tally(
            total=total,
            succeeded=ended,
            transcribing=at_once,
            pending=total - ended - at_once,
            known=ended + at_once,
            known_audio_ms=(ended + at_once) * item_ms,
            ended_audio_ms=ended * item_ms,
            done_audio_ms=ended * item_ms,
        )
        end = meter.read("batch_a", counts, int(now)).estimated_end_ms
        assert end is not None
        assert abs(end - real_end) < 0.2 * (real_end - now)
        now += 7_000
