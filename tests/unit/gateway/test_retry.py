"""Which failures are tried again, and when."""

from batchscribe.v1.batch_pb2 import ItemError
from batchscribe.v1.batch_pb2 import RetryPolicy as BatchRetryPolicy
from google.protobuf.duration_pb2 import Duration

from gateway.retry import RetryPolicy
from gateway.settle import RELEASES
from transcriber.failures import FAILURES

POLICY = RetryPolicy(max_attempts=4, base_seconds=5, max_seconds=12)
PASSING = ItemError(reason="SOURCE_FETCH_FAILED", retryable=True)


def test_permanent_failure_is_not_tried_again() -> None:
    """What will not pass ends at the first attempt."""
    assert POLICY.delay_ms(ItemError(reason="NO_AUDIO"), 1) is None


def test_attempts_run_out() -> None:
    """The last attempt is followed by none."""
    assert POLICY.delay_ms(PASSING, 3) is not None
    assert POLICY.delay_ms(PASSING, 4) is None


def test_back_off_is_full_jitter_below_a_growing_bound() -> None:
    """Waits spread over all of 0 to base x 2^n, and never over the maximum."""
    for attempts, longest in ((1, 5000), (2, 10_000), (3, 12_000)):
        waits = [POLICY.delay_ms(PASSING, attempts) or 0 for _ in range(500)]
        assert max(waits) <= longest
        assert min(waits) < longest / 10
        assert max(waits) > longest * 0.9


def test_bug_is_tried_once_more_only() -> None:
    """A failure that is our own gets one more attempt, whatever the policy."""
    bug = ItemError(reason="INTERNAL_ERROR", retryable=True)
    assert POLICY.delay_ms(bug, 1) is not None
    assert POLICY.delay_ms(bug, 2) is None


def test_every_reason_that_is_handled_apart_is_one_a_transcriber_gives() -> None:
    """No rule waits for a failure that nobody reports."""
    assert RELEASES.keys() <= FAILURES.keys()


def test_batch_overrides_the_server() -> None:
    """What a batch asks for replaces the server's value, field by field."""
    asked = BatchRetryPolicy(max_attempts=1, max_backoff=Duration(seconds=7))
    assert POLICY.overridden_by(asked) == RetryPolicy(1, 5, 7)
    assert POLICY.overridden_by(BatchRetryPolicy()) == POLICY
