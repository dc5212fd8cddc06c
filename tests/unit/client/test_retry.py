"""Full-jitter back-off."""

from batchscribe.client.retry import Backoff


def _largest(low: float, high: float) -> float:
    return high


def test_the_ceiling_doubles_up_to_its_limit() -> None:
    """Delays are drawn below a ceiling of 1, 2, 4 ... seconds, never above the largest."""
    backoff = Backoff(base_seconds=1.0, ceiling_seconds=5.0, draw=_largest)
    assert [backoff.next_delay() for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]


def test_success_starts_from_the_beginning() -> None:
    """After ``reset`` the first ceiling is back."""
    backoff = Backoff(base_seconds=1.0, draw=_largest)
    backoff.next_delay()
    backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() == 1.0


def test_the_server_is_never_asked_too_soon() -> None:
    """A RetryInfo is the least delay, jitter comes on top."""
    backoff = Backoff(base_seconds=1.0, draw=_largest)
    assert backoff.next_delay(at_least_seconds=3.0) == 4.0
