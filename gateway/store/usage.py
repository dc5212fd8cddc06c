"""What users have had of what they may have: batches by the minute, videos and audio by the month.

The scripts that create, expand, retry and end keep the books; here they are read. A month is one of
UTC by the clock of Redis, written as 2026-11.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from gateway.errors import GatewayError, QuotaExceeded, RateLimited
from gateway.store import keys
from gateway.store.pipeline import Argument, Commands
from gateway.store.scripts import Scripts

MINUTE_MS = 60_000
# Verdicts of scripts that refuse for what the user has had, and their reasons outside.
REFUSALS = {
    b"RATE": "RATE_LIMITED",
    b"VIDEOS": "VIDEO_QUOTA_EXCEEDED",
    b"AUDIO": "AUDIO_QUOTA_EXCEEDED",
}


@dataclass(frozen=True)
class Allowance:
    """What a user may have; None is without a limit."""

    batches_per_minute: int | None = None
    monthly_videos: int | None = None
    monthly_audio_ms: int | None = None

    def arguments(self) -> tuple[Argument, Argument, Argument]:
        """Return the three as scripts take them."""
        limits = (self.batches_per_minute, self.monthly_videos, self.monthly_audio_ms)
        batches, videos, audio_ms = ("" if limit is None else limit for limit in limits)
        return batches, videos, audio_ms


UNLIMITED = Allowance()


@dataclass(frozen=True)
class Usage:
    """What a user has had in one month, as of ``now_ms``: videos that succeeded and their audio.

    ``reserved`` are the videos that may still succeed.
    """

    now_ms: int
    month: str
    reserved: int
    videos: int
    audio_ms: int

    @property
    def reset_time(self) -> datetime:
        """When the next month begins."""
        year, month = map(int, self.month.split("-"))
        return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)

    @property
    def reset_seconds(self) -> float:
        """How long it is until then."""
        return self.reset_time.timestamp() - self.now_ms / 1000


@dataclass(frozen=True)
class Standing:
    """This month's usage, and in how many ms the next batch may be created."""

    usage: Usage
    rate_wait_ms: int


class Ledger:
    """Reads what was booked. Every method may raise StoreUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = Commands(redis)
        self._scripts = Scripts(redis)

    async def standing(self, user: str, allowance: Allowance) -> Standing:
        """Return where a user stands now."""
        wait_ms, _, *row = await self._scripts.run("usage", user, "", *_asked(allowance))
        return Standing(_usage_from(row), int(wait_ms))

    async def check(self, user: str, allowance: Allowance, videos: int) -> None:
        """Raise QuotaExceeded if so many more videos would be refused; reserves nothing."""
        _, refused, *_ = await self._scripts.run("usage", user, "", *_asked(allowance, videos))
        if refused:
            raise refusal(user, allowance, *refused)

    async def month(self, month: str) -> AsyncIterator[tuple[str, Usage]]:
        """Yield every user who was active in a month, by name, with what they have had."""
        users = await self._redis.run("SMEMBERS", keys.key("usage_users", month))
        for user in sorted(name.decode() for name in users):
            _, _, *row = await self._scripts.run("usage", user, month, *_asked(UNLIMITED))
            yield user, _usage_from(row)


def refusal(user: str, allowance: Allowance, verdict: bytes, *rest: Any) -> GatewayError:
    """Return why a script has refused a batch: ``verdict``, one of REFUSALS, and its facts."""
    if verdict == b"RATE":
        return RateLimited(user, allowance.batches_per_minute or 0, int(rest[0]) / 1000)
    usage = _usage_from(rest)
    if verdict == b"VIDEOS":
        had = f"{usage.videos} are used and {usage.reserved} reserved"
        limit = f"{allowance.monthly_videos} videos"
    else:
        had = f"{usage.audio_ms // MINUTE_MS} are used"
        limit = f"{(allowance.monthly_audio_ms or 0) // MINUTE_MS} minutes of audio"
    message = f"You have {limit} a month, of which {had}."
    return QuotaExceeded(user, REFUSALS[verdict], message, usage.reset_time, usage.reset_seconds)


def _asked(allowance: Allowance, videos: int = 0) -> tuple[Argument, ...]:
    per_minute, most_videos, most_audio_ms = allowance.arguments()
    return per_minute, videos, most_videos, most_audio_ms


def _usage_from(row: Sequence[Any]) -> Usage:
    """Read what ``usage_of`` in prelude/quota.lua returns."""
    now_ms, month, reserved, videos, audio_ms = row
    return Usage(int(now_ms), month.decode(), int(reserved), int(videos), int(audio_ms))
