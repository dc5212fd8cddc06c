"""Whether a failed attempt is followed by another, and when. Pure but for the dice."""

import random
from dataclasses import dataclass

from batchscribe.v1.batch_pb2 import ItemError
from batchscribe.v1.batch_pb2 import RetryPolicy as BatchRetryPolicy
from google.protobuf.duration_pb2 import Duration

# A second failure of this kind is a bug in us or in the source; more attempts would not tell more.
ONE_RETRY_REASONS = frozenset({"INTERNAL_ERROR"})


@dataclass(frozen=True)
class RetryPolicy:
    """Full-jitter back-off: a random wait of at most ``base_seconds`` x 2^n, up to a maximum."""

    max_attempts: int
    base_seconds: float
    max_seconds: float

    def overridden_by(self, asked: BatchRetryPolicy) -> "RetryPolicy":
        """Return this policy with what a batch asks for in its place."""
        return RetryPolicy(
            asked.max_attempts or self.max_attempts,
            _seconds(asked.initial_backoff) or self.base_seconds,
            _seconds(asked.max_backoff) or self.max_seconds,
        )

    def spread_ms(self, most_ms: int) -> int:
        """Return a random wait, so that many items do not come back in one moment."""
        return random.randrange(most_ms)

    def delay_ms(self, error: ItemError, attempts: int) -> int | None:
        """Return the wait before the next attempt after ``attempts`` have failed; None: give up."""
        allowed = 2 if error.reason in ONE_RETRY_REASONS else self.max_attempts
        if not error.retryable or attempts >= min(allowed, self.max_attempts):
            return None
        longest = min(self.max_seconds, self.base_seconds * 2 ** (attempts - 1))
        return int(random.uniform(0, longest) * 1000)


def _seconds(duration: Duration) -> float:
    return duration.ToTimedelta().total_seconds()
