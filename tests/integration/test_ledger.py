"""The books that the scripts keep: batches by the minute, videos and audio by the month."""

import calendar
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1 import batch_pb2 as pb
from redis.asyncio import Redis

from gateway import ids
from gateway.errors import QuotaExceeded, RateLimited
from gateway.store import (
    Allowance,
    BatchStore,
    Lease,
    Ledger,
    NewBatch,
    Release,
    Usage,
    Vacancy,
    connect,
    keys,
    scripts,
)

USER = "ann"
UNLIMITED = Allowance()
SUCCEEDED, FAILED, CANCELLED = (
    pb.ITEM_STATE_SUCCEEDED,
    pb.ITEM_STATE_FAILED,
    pb.ITEM_STATE_CANCELLED,
)
LAST_MONTH = "2020-01"


@dataclass(frozen=True)
class Books:
    """A store, its ledger, and the Redis below both."""

    redis: Redis
    store: BatchStore
    ledger: Ledger

    async def had(self, month: str = "") -> tuple[int, int, int]:
        """Return the videos reserved, the videos used and the audio used, of ``month`` or now."""
        if month:
            found = {user: usage async for user, usage in self.ledger.month(month)}
            usage = found[USER]
        else:
            usage = (await self.ledger.standing(USER, UNLIMITED)).usage
        return usage.reserved, usage.videos, usage.audio_ms

    async def claim(self, count: int) -> list[Lease]:
        return await self.store.claim(ids.new_batch_id(), [Vacancy("w1", 100, count)])

    async def succeed(self, lease: Lease, duration_ms: int = 60_000) -> bool:
        outcome = pb.BatchItem(transcription_id=ids.transcription_id(lease.item_id, lease.epoch))
        return await self.store.finish(lease, SUCCEEDED, outcome, duration_ms=duration_ms)

    async def fail(self, lease: Lease) -> bool:
        return await self.store.finish(lease, FAILED, pb.BatchItem())

    async def turn_month(self, batch_id: str) -> None:
        """Let all that was booked so far be of another month."""
        month = (await self.ledger.standing(USER, UNLIMITED)).usage.month
        await self.redis.hset(keys.key("batch", USER, batch_id), "month", LAST_MONTH)
        for name in ("usage", "usage_users"):
            parts = (USER,) if name == "usage" else ()
            await self.redis.rename(
                keys.key(name, *parts, month), keys.key(name, *parts, LAST_MONTH)
            )


@pytest.fixture
async def books(redis_url: str) -> AsyncIterator[Books]:
    redis = connect(redis_url)
    yield Books(redis, BatchStore(redis), Ledger(redis))
    await redis.aclose()


def new_batch(
    total: int = 1, allowance: Allowance = UNLIMITED, request_id: str = "", **options: Any
) -> NewBatch:
    defaults = {"parallel": True, "continue_on_error": True, "max_concurrent": 100}
    batch = pb.Batch(
        batch_id=ids.new_batch_id(), options=pb.BatchOptions(**{**defaults, **options})
    )
    items = []
    for index in range(total):
        item_id = ids.item_id(batch.batch_id, index)
        work = TranscribeRequest(task_id=item_id, url=f"http://x/{index}")
        items.append((pb.BatchItem(item_id=item_id, index=index, url=work.url), work))
    return NewBatch(batch, items, request_id=request_id, allowance=allowance)


async def attempt(books: Books, new: NewBatch) -> bool:
    try:
        await books.store.create(USER, new)
    except RateLimited:
        return False
    return True


# ---- the calendar ------------------------------------------------------------------------------


async def test_months_are_those_of_the_calendar(books: Books) -> None:
    """The scripts put each day of this century into the month that it is of."""
    days = [datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(36_000)]
    code = """
    local months = {}
    for i = 0, tonumber(ARGV[2]) - 1 do months[#months + 1] = month_of(ARGV[1] + i * DAY_MS) end
    return months
    """
    script = f"{scripts.prelude(code)}{code}"
    found = await books.redis.eval(script, 0, int(days[0].timestamp() * 1000), len(days))
    assert [month.decode() for month in found] == [f"{day:%Y-%m}" for day in days]


@pytest.mark.parametrize("month", ["2026-11", "2026-12", "2028-02"])
def test_quotas_are_reset_when_the_next_month_begins(month: str) -> None:
    """The reset is at midnight UTC after the month's last day."""
    year, number = map(int, month.split("-"))
    last = datetime(year, number, calendar.monthrange(year, number)[1], tzinfo=UTC)
    usage = Usage(int(last.timestamp() * 1000), month, 0, 0, 0)
    assert usage.reset_seconds == 24 * 3600


# ---- rates -------------------------------------------------------------------------------------


async def test_rate_holds_over_any_minute(books: Books) -> None:
    """So many batches come within a minute, and one more for each that is a minute old."""
    two = Allowance(batches_per_minute=2)
    assert [await attempt(books, new_batch(1, two)) for _ in range(3)] == [True, True, False]
    standing = await books.ledger.standing(USER, two)
    assert 0 < standing.rate_wait_ms <= 60_000
    await books.redis.lset(keys.key("rate", USER), -1, str(standing.usage.now_ms - 60_001))
    assert [await attempt(books, new_batch(1, two)) for _ in range(2)] == [True, False]


async def test_replays_and_retries_are_not_batches_of_their_own(books: Books) -> None:
    """The same request again, and a new round, come at any rate."""
    one = Allowance(batches_per_minute=1)
    new = new_batch(1, one, request_id="r")
    batch_id = await books.store.create(USER, new)
    assert await books.store.create(USER, new) == batch_id
    (lease,) = await books.claim(1)
    await books.fail(lease)
    await books.store.retry(USER, batch_id, one)
    assert await books.had() == (1, 0, 0)


async def test_rate_is_each_users_own(books: Books) -> None:
    """What one user does takes nothing from another."""
    one = Allowance(batches_per_minute=1)
    await books.store.create(USER, new_batch(1, one))
    await books.store.create("bob", new_batch(1, one))
    with pytest.raises(RateLimited):
        await books.store.create("bob", new_batch(1, one))


# ---- quotas ------------------------------------------------------------------------------------


async def test_videos_are_reserved_until_they_end(books: Books) -> None:
    """A success is used with its audio; failed, cancelled and skipped videos are given back."""
    batch_id = await books.store.create(USER, new_batch(4, continue_on_error=False))
    assert await books.had() == (4, 0, 0)
    done, failed, running = await books.claim(3)
    assert await books.succeed(done, 90_000)
    assert await books.succeed(done, 90_000), "a repeat is answered like the first time"
    assert await books.had() == (3, 1, 90_000)
    assert await books.fail(failed), "this skips the fourth"
    assert await books.had() == (1, 1, 90_000)
    await books.store.cancel(USER, batch_id, [])
    assert await books.store.release(running, Release.LOST)
    assert await books.had() == (0, 1, 90_000)


async def test_a_video_that_changes_hands_counts_once(books: Books) -> None:
    """Whoever finishes an item last writes nothing: there is one charge for it."""
    await books.store.create(USER, new_batch(1))
    (first,) = await books.claim(1)
    await books.store.release(first, Release.BACK)
    (second,) = await books.claim(1)
    assert await books.succeed(second)
    assert not await books.succeed(first)
    assert await books.had() == (0, 1, 60_000)


async def test_batches_that_do_not_fit_reserve_nothing(books: Books) -> None:
    """A batch is within the month's videos as a whole or it is not made."""
    five = Allowance(monthly_videos=5)
    await books.store.create(USER, new_batch(3, five))
    with pytest.raises(QuotaExceeded, match="5 videos a month") as caught:
        await books.store.create(USER, new_batch(3, five))
    assert caught.value.reason == "VIDEO_QUOTA_EXCEEDED"
    assert await books.had() == (3, 0, 0)
    await books.store.create(USER, new_batch(2, five))


async def test_used_up_audio_closes_the_month(books: Books) -> None:
    """When the minutes are used, no batch is accepted; what was accepted before goes on."""
    minute = Allowance(monthly_audio_ms=60_000)
    await books.store.create(USER, new_batch(2, minute))
    for lease in await books.claim(2):
        await books.succeed(lease, 50_000)
    with pytest.raises(QuotaExceeded, match="1 minutes of audio") as caught:
        await books.store.create(USER, new_batch(1, minute))
    assert caught.value.reason == "AUDIO_QUOTA_EXCEEDED"


async def test_a_new_round_is_reserved_again(books: Books) -> None:
    """RetryBatch asks for as many videos as it runs, and is refused whole if they are too many."""
    three = Allowance(monthly_videos=3)
    batch_id = await books.store.create(USER, new_batch(3, three))
    done, *failed = await books.claim(3)
    await books.succeed(done)
    for lease in failed:
        await books.fail(lease)
    await books.store.create(USER, new_batch(1, three))
    with pytest.raises(QuotaExceeded):
        await books.store.retry(USER, batch_id, three)
    await books.store.retry(USER, batch_id, replace(three, monthly_videos=4))
    assert await books.had() == (3, 1, 60_000)


async def test_playlists_grow_within_the_quota(books: Books) -> None:
    """The videos of a playlist are reserved as they come, or the playlist fails and is refunded."""
    three = Allowance(monthly_videos=3)
    for count, had in ((4, (0, 0, 0)), (3, (3, 0, 0))):
        await books.store.create(USER, replace(new_batch(1, three), max_total=10))
        (lease,) = await books.claim(1)
        videos = [(pb.BatchItem(url="http://x/"), TranscribeRequest(url="http://x/"))] * count
        assert await books.store.expand(lease, videos, is_cut=False)
        assert await books.had() == had


async def test_videos_count_in_the_month_they_were_asked_for(books: Books) -> None:
    """What ends after the month does is booked where it was reserved, and refunded there."""
    batch_id = await books.store.create(USER, new_batch(2))
    done, failed = await books.claim(2)
    await books.turn_month(batch_id)
    await books.succeed(done)
    await books.fail(failed)
    assert await books.had(LAST_MONTH) == (0, 1, 60_000)
    assert await books.had() == (0, 0, 0)
    await books.store.retry(USER, batch_id)
    assert await books.had() == (1, 0, 0)


async def test_what_is_given_up_or_deleted_is_settled(books: Books) -> None:
    """The end of a batch over its deadline gives back, and deleting one takes nothing back."""
    batch_id = await books.store.create(USER, new_batch(2))
    (lease,) = await books.claim(1)
    await books.succeed(lease)
    await books.redis.zadd(keys.key("deadlines"), {f"{USER}/{batch_id}": 1})
    await books.store.reap()
    assert await books.had() == (0, 1, 60_000)
    await books.store.delete(USER, batch_id)
    assert await books.had() == (0, 1, 60_000)
