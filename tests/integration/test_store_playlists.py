"""Playlists in the store: what `expand` makes of them, checked against the model at every step."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from batchscribe.v1 import batch_pb2 as pb

from gateway.store import Release, keys
from tests.store_model.batch import CANCELLED, FAILED, PENDING, SKIPPED, SUCCEEDED, Batch
from tests.store_model.pair import Pair, Shape

THREE = Shape(
    "ann", ["a.test"] * 3, 1.0, 0, 3, is_serial=False, continue_on_error=True, max_total=10
)
VIDEOS = [("b.test", 2000), ("c.test", 0), ("b.test", 2000)]


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[Pair]:
    both = Pair(redis_url)
    yield both
    await both.check()
    await both.redis.aclose()


async def new_batch(pair: Pair, shape: Shape) -> Batch:
    await pair.create(shape)
    (batch,) = pair.model.batches.values()
    return batch


async def claim(pair: Pair, count: int = 1) -> None:
    await pair.claim("w1", 10, count)


def shown(batch: Batch) -> list[tuple[str, pb.ItemState.ValueType]]:
    """Return what of an item's id follows that of its batch, and its state, in order."""
    return [(item.item_id.split("_", 2)[2], item.state) for item in batch.items]


def with_state(
    names: Sequence[str], state: pb.ItemState.ValueType
) -> list[tuple[str, pb.ItemState.ValueType]]:
    return [(name, state) for name in names]


async def test_videos_take_the_place_of_their_playlist(pair: Pair) -> None:
    """A playlist's videos stand where it stood, in order, repeats included; nothing else moves."""
    batch = await new_batch(pair, THREE)
    await claim(pair, 2)
    await pair.expand(pair.held[1], VIDEOS)
    await pair.check()
    assert shown(batch) == with_state(["0", "1", "1_2", "1_3", "2"], PENDING)
    stored = await pair.store.batch(batch.user, batch.batch_id, with_items=True)
    assert [item.index for item in stored.batch.items] == [0, 1, 1, 1, 2]
    assert [item.playlist.place for item in stored.batch.items] == [0, 1, 2, 3, 0]
    assert [item.url for item in stored.batch.items][1:4] == [
        f"http://{site}/" for site, _ in VIDEOS
    ]
    assert (stored.tally.total, stored.tally.unresolved) == (5, 2)


async def test_a_serial_batch_runs_the_videos_before_what_follows_the_playlist(pair: Pair) -> None:
    """With parallel=false nothing overtakes the videos of a playlist."""
    batch = await new_batch(pair, replace(THREE, is_serial=True))
    await claim(pair)
    await pair.expand(pair.held[0], VIDEOS)
    order = []
    while not batch.has_ended:
        await claim(pair)
        order.append(pair.held[0].item_id.split("_", 2)[2])
        await pair.finish(pair.held[0], SUCCEEDED)
    assert order == ["0", "0_2", "0_3", "1", "2"]


async def test_what_may_be_a_playlist_is_resolved_first(pair: Pair) -> None:
    """In a parallel batch no video of a playlist starts before every other playlist is known."""
    await new_batch(pair, THREE)
    await claim(pair)
    await pair.expand(pair.held[0], VIDEOS)
    await claim(pair, 2)
    assert [lease.item_id[-2:] for lease in pair.held] == ["_1", "_2"]


async def test_a_batch_takes_as_many_videos_as_it_has_room_for(pair: Pair) -> None:
    """Beyond the batch's limit videos are left out, and the first says so."""
    batch = await new_batch(pair, replace(THREE, max_total=4))
    await claim(pair)
    await pair.expand(pair.held[0], VIDEOS)
    assert shown(batch) == with_state(["0", "0_2", "1", "2"], PENDING)
    await claim(pair)
    await pair.finish(pair.held[0], SUCCEEDED)
    stored = await pair.store.batch(batch.user, batch.batch_id, with_items=True)
    assert [warning.reason for warning in stored.batch.items[0].warnings] == ["PLAYLIST_CUT"]


async def test_a_playlist_cancelled_while_it_is_resolved_adds_nothing(pair: Pair) -> None:
    """Who cancels a batch whose playlist is being resolved gets none of its videos."""
    batch = await new_batch(pair, THREE)
    await claim(pair)
    await pair.cancel(batch, [])
    await pair.expand(pair.held[0], VIDEOS)
    assert shown(batch) == with_state(["0", "1", "2"], CANCELLED)
    assert batch.state == pb.BATCH_STATE_CANCELLED


async def test_videos_found_after_a_failure_are_skipped(pair: Pair) -> None:
    """With continue_on_error=false a playlist that is resolved after a failure starts nothing."""
    batch = await new_batch(pair, replace(THREE, continue_on_error=False))
    await claim(pair, 2)
    video, playlist = pair.held
    await pair.finish(video, FAILED)
    await pair.check()
    await pair.expand(playlist, VIDEOS)
    assert shown(batch) == [("0", FAILED), *with_state(["1", "1_2", "1_3", "2"], SKIPPED)]
    assert batch.state == pb.BATCH_STATE_FAILED


async def test_a_playlist_that_came_to_nothing_is_resolved_anew_by_a_retry(pair: Pair) -> None:
    """RetryBatch resolves what could not be resolved, and runs the failed videos of what could."""
    batch = await new_batch(pair, replace(THREE, sites=["a.test", "a.test"]))
    await claim(pair, 2)
    broken, playlist = pair.held
    await pair.release(broken, Release.RETRY)
    await pair.expand(playlist, VIDEOS)
    await pair.let_time_pass()
    await claim(pair, 4)
    for lease in pair.held:
        await pair.finish(lease, FAILED)
    await pair.run_to_the_end()
    assert (await tally(pair, batch)) == (4, 0)
    await pair.retry(batch)
    assert (await tally(pair, batch)) == (4, 1)
    await claim(pair)
    await pair.expand(pair.held[0], VIDEOS)
    await pair.run_to_the_end()
    assert {item.state for item in batch.items} == {SUCCEEDED}
    assert await tally(pair, batch) == (6, 0)


async def tally(pair: Pair, batch: Batch) -> tuple[int, int]:
    """Return the total and how much of it is unresolved."""
    stored = await pair.store.batch(batch.user, batch.batch_id, with_items=False)
    return stored.tally.total, stored.tally.unresolved


async def test_a_single_video_is_found_out_when_it_starts(pair: Pair) -> None:
    """What turns out to be one video goes on under its lease and is not looked at again."""
    batch = await new_batch(pair, replace(THREE, sites=["a.test"]))
    await claim(pair)
    await pair.stage(pair.held[0], pb.ITEM_STATE_FETCHING, 0)
    assert await tally(pair, batch) == (1, 0)
    await pair.release(pair.held[0], Release.LOST)
    await claim(pair)
    assert pair.held[0].unresolved is None


async def test_nothing_is_left_of_a_deleted_playlist(pair: Pair) -> None:
    """Deleting a batch deletes the videos of its playlists too."""
    batch = await new_batch(pair, THREE)
    await claim(pair)
    await pair.expand(pair.held[0], VIDEOS)
    await pair.run_to_the_end()
    assert await items(pair) == 5
    await pair.delete(batch)
    assert await items(pair) == 0


async def items(pair: Pair) -> int:
    """Return how many items there are in Redis."""
    return len(await pair.redis.keys(keys.key("item", "ann", "*")))
