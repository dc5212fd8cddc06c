"""The Lua transitions against a real server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1.batch_pb2 import (
    AttemptResult,
    Batch,
    BatchItem,
    BatchOptions,
    BatchState,
    ItemError,
    ItemState,
)

from gateway import ids
from gateway.errors import NotFound, RequestIdReused, WrongState
from gateway.store import (
    BatchStore,
    Lease,
    NewBatch,
    Release,
    Renewal,
    SchemaTooNew,
    Vacancy,
    check_schema,
    connect,
    keys,
)
from gateway.store.reading import StoredEvent
from tests.support import wait_until

USER = "ann"


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[BatchStore]:
    redis = connect(redis_url)
    yield BatchStore(redis)
    await redis.aclose()


def new_batch(total: int = 2, request_id: str = "", body: bytes = b"", **options: Any) -> NewBatch:
    defaults = {"parallel": True, "continue_on_error": True, "max_concurrent": 3}
    settings: dict[str, Any] = defaults | options
    batch = Batch(batch_id=ids.new_batch_id(), options=BatchOptions(**settings))
    items = []
    for index in range(total):
        item_id = ids.item_id(batch.batch_id, index)
        items.append(
            (
                BatchItem(item_id=item_id, index=index, url=f"http://x/{index}"),
                TranscribeRequest(task_id=item_id, url=f"http://x/{index}"),
            )
        )
    return NewBatch(batch, items, request_id=request_id, body=body)


async def claim(
    store: BatchStore, count: int = 1, slots: int = 10, worker: str = "w1"
) -> list[Lease]:
    return await store.claim(ids.new_batch_id(), [Vacancy(worker, slots, count)])


async def succeed(store: BatchStore, lease: Lease) -> bool:
    outcome = BatchItem(transcription_id=ids.transcription_id(lease.item_id, lease.epoch))
    return await store.finish(lease, ItemState.ITEM_STATE_SUCCEEDED, outcome, duration_ms=2000)


async def fail(store: BatchStore, lease: Lease) -> bool:
    outcome = BatchItem(error=ItemError(reason="NO_AUDIO"))
    return await store.finish(lease, ItemState.ITEM_STATE_FAILED, outcome)


async def begin(store: BatchStore, lease: Lease) -> bool:
    return await store.stage(lease, "w", ItemState.ITEM_STATE_TRANSCRIBING, "Title", 2000)


async def states(store: BatchStore, batch_id: str) -> list[str]:
    stored = await store.batch(USER, batch_id, with_items=True)
    names = [ItemState.Name(item.state).removeprefix("ITEM_STATE_") for item in stored.batch.items]
    return [BatchState.Name(stored.batch.state).removeprefix("BATCH_STATE_"), *names]


async def all_events(store: BatchStore, batch_id: str) -> list[StoredEvent]:
    return await store.events(USER, Batch(batch_id=batch_id), 0, 1000)


async def test_one_item_from_create_to_success(store: BatchStore) -> None:
    """An item goes pending, transcribing, succeeded, and each change is one dense revision."""
    batch_id = await store.create(USER, new_batch(total=1))
    (lease,) = await claim(store)
    assert await begin(store, lease)
    assert await succeed(store, lease)
    assert await states(store, batch_id) == ["SUCCEEDED", "SUCCEEDED"]
    events = await all_events(store, batch_id)
    assert [event.revision for event in events] == list(range(1, len(events) + 1))
    assert all(
        sum((e.tally.pending, e.tally.fetching, e.tally.transcribing, e.tally.waiting_retry))
        + e.tally.ended
        == e.tally.total
        for e in events
    )
    item = (await store.batch(USER, batch_id, with_items=True)).batch.items[0]
    assert (item.attempt_count, item.title, item.audio_duration.seconds) == (1, "Title", 2)
    assert item.transcription_id.startswith("trans_")


async def test_request_id_is_replayed_and_guarded(store: BatchStore) -> None:
    """The same request_id gives the same batch; another body under it is refused."""
    first = await store.create(USER, new_batch(request_id="r", body=b"a"))
    assert await store.create(USER, new_batch(request_id="r", body=b"a")) == first
    with pytest.raises(RequestIdReused):
        await store.create(USER, new_batch(request_id="r", body=b"b"))
    assert [batch_id for _, batch_id in await store.batch_ids(USER, None, 10)] == [first]


async def test_other_users_batches_do_not_exist(store: BatchStore) -> None:
    """A batch is found under its own user only."""
    batch_id = await store.create(USER, new_batch())
    with pytest.raises(NotFound):
        await store.batch("bob", batch_id, with_items=False)
    with pytest.raises(NotFound):
        await store.cancel("bob", batch_id, [])


async def test_claim_respects_slots_and_places(store: BatchStore) -> None:
    """A transcriber never holds more than its slots, nor a batch more than max_concurrent."""
    await store.create(USER, new_batch(total=9, max_concurrent=3))
    assert len(await claim(store, count=9, slots=2)) == 2
    assert len(await claim(store, count=9, slots=2)) == 0
    assert len(await claim(store, count=9, worker="w2")) == 1
    assert len(await claim(store, count=9, worker="w3")) == 0


async def test_a_claim_deals_to_whoever_has_the_most_slots_free(store: BatchStore) -> None:
    """Of several transcribers the least busy is served first, and all of them in one claim."""
    await store.create(USER, new_batch(total=9, max_concurrent=9))
    await claim(store, count=2, slots=4, worker="w1")
    dealt = await store.claim("op", [Vacancy("w1", 4, 4), Vacancy("w2", 4, 4), Vacancy("w3", 4, 1)])
    assert [lease.address for lease in dealt] == ["w2", "w2", "w1", "w2", "w1", "w2", "w3"]


async def test_a_claim_tells_of_work_that_is_left_and_disturbs_no_watcher(
    store: BatchStore, redis_url: str
) -> None:
    """Other gateways hear that more may start; of the batch there is nothing new to read."""
    await store.create(USER, new_batch(total=3))
    assert await _last_wake(redis_url) != {b"batches": b"", b"ready": b"1"}
    await claim(store, count=2)
    assert await _last_wake(redis_url) == {b"batches": b"", b"ready": b"1"}
    async with connect(redis_url) as client:
        wakes = await client.xlen(keys.key("wake"))
        await claim(store, count=9)
        assert await client.xlen(keys.key("wake")) == wakes, "nothing is left"


async def _last_wake(redis_url: str) -> dict[bytes, bytes]:
    async with connect(redis_url) as client:
        found: Any = await client.xrevrange(keys.key("wake"), count=1)
    ((_, fields),) = found
    return {name: fields[name] for name in (b"batches", b"ready")}


async def test_claim_is_replayed_by_its_id(store: BatchStore) -> None:
    """A claim whose answer was lost gives the same leases again, not more."""
    await store.create(USER, new_batch(total=5))
    vacancies = [Vacancy("w1", 10, 1), Vacancy("w2", 10, 1)]
    first = await store.claim("op", vacancies)
    again = await store.claim("op", vacancies)
    assert [lease.item_id for lease in first] == [lease.item_id for lease in again]


async def test_serial_batch_keeps_order_over_a_retry(store: BatchStore) -> None:
    """With parallel=false an item that waits for its retry keeps the place."""
    batch_id = await store.create(USER, new_batch(parallel=False, max_concurrent=1))
    (lease,) = await claim(store, count=2)
    assert await begin(store, lease)
    await store.release(lease, Release.RETRY, delay_ms=60_000, error=ItemError(reason="X"))
    assert await claim(store) == []
    assert await states(store, batch_id) == ["RUNNING", "WAITING_RETRY", "PENDING"]


async def test_waiting_item_frees_its_place_and_comes_back(store: BatchStore) -> None:
    """A parallel batch goes on while an item waits; the item is ready again when its time comes."""
    await store.create(USER, new_batch(max_concurrent=1))
    (first,) = await claim(store)
    await store.release(first, Release.RETRY, delay_ms=1, error=ItemError(reason="X"))
    (second,) = await claim(store)
    assert await succeed(store, second)
    (last,) = await claim(store)
    assert {second.item_id, last.item_id} >= {first.item_id}
    assert last.item_id != second.item_id


async def test_stale_epoch_is_refused(store: BatchStore) -> None:
    """After an item was given back and claimed again, nothing the old lease writes counts."""
    batch_id = await store.create(USER, new_batch(total=1))
    (old,) = await claim(store)
    assert await begin(store, old)
    await store.release(old, Release.BACK)
    (new,) = await claim(store, worker="w2")
    assert new.epoch == old.epoch + 1
    assert not await begin(store, old)
    assert not await succeed(store, old)
    assert not await store.release(old, Release.RETRY)
    assert await store.renew([old, new]) == [Renewal.STALE, Renewal.OK]
    assert await succeed(store, new)
    assert await succeed(store, new), "a replay of the end is OK"
    assert (await store.batch(USER, batch_id, with_items=True)).batch.items[0].attempt_count == 1


async def test_first_failure_skips_the_unstarted(store: BatchStore) -> None:
    """continue_on_error=false skips what has not started; what has keeps its attempts."""
    batch_id = await store.create(
        USER, new_batch(total=4, max_concurrent=2, continue_on_error=False)
    )
    first, second = await claim(store, count=4)
    assert await begin(store, first)
    assert await fail(store, first)
    assert await states(store, batch_id) == ["RUNNING", "FAILED", "PENDING", "SKIPPED", "SKIPPED"]
    assert await succeed(store, second)
    assert (await states(store, batch_id))[0] == "PARTIALLY_SUCCEEDED"


async def test_cancel_ends_waiting_items_and_flags_running_ones(store: BatchStore) -> None:
    """Cancelling ends what waits at once; a running item is told and ends CANCELLED."""
    batch_id = await store.create(USER, new_batch(total=3, max_concurrent=1))
    (lease,) = await claim(store)
    assert await begin(store, lease)
    await store.cancel(USER, batch_id, [])
    await store.cancel(USER, batch_id, [])
    assert await states(store, batch_id) == ["CANCELLING", "TRANSCRIBING", "CANCELLED", "CANCELLED"]
    assert await store.renew([lease]) == [Renewal.CANCEL]
    assert await store.release(lease, Release.BACK)
    assert (await states(store, batch_id))[:2] == ["CANCELLED", "CANCELLED"]


async def test_cancel_loses_against_a_result(store: BatchStore) -> None:
    """A result that arrives after the request to cancel still counts."""
    batch_id = await store.create(USER, new_batch(total=1))
    (lease,) = await claim(store)
    await store.cancel(USER, batch_id, [lease.item_id])
    assert await succeed(store, lease)
    assert await states(store, batch_id) == ["SUCCEEDED", "SUCCEEDED"]


async def test_users_share_fairly(store: BatchStore) -> None:
    """A user with one item does not wait behind another user's long batch."""
    await store.create(USER, new_batch(total=50, max_concurrent=10))
    await claim(store, count=5, slots=50)
    await store.create("bob", new_batch(total=1))
    users = [lease.user for lease in await claim(store, count=2, slots=50)]
    assert "bob" in users


async def test_reap_gives_an_item_back_without_an_attempt(
    store: BatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that ran out makes the item pending again, with no attempt used."""
    monkeypatch.setattr("gateway.store.batch_store.LEASE_MS", 0)
    batch_id = await store.create(USER, new_batch(total=1))
    (lease,) = await claim(store)
    assert await begin(store, lease)
    await store.reap()
    await store.reap()
    assert await states(store, batch_id) == ["RUNNING", "PENDING"]
    (again,) = await claim(store)
    assert (again.epoch, again.attempts) == (2, 0)


async def test_expired_batch_leaves_nothing(store: BatchStore, redis_url: str) -> None:
    """Retention removes the batch, its items, events and transcripts; only what it cost is kept."""
    new = new_batch(total=1)
    batch_id = await store.create(USER, NewBatch(new.batch, new.items, keep_ms=1))
    (lease,) = await claim(store)
    outcome = BatchItem(transcription_id="trans_1")
    success = ItemState.ITEM_STATE_SUCCEEDED
    assert await store.finish(lease, success, outcome, transcript=b"packed")
    assert await store.transcript(USER, "trans_1") == b"packed"
    while await store.reap() != (0, 1):
        pass
    with pytest.raises(NotFound):
        await store.batch(USER, batch_id, with_items=False)
    redis = connect(redis_url)
    left: list[Any] = await redis.keys("{bs}:u:*")
    await redis.aclose()
    assert [name for name in left if b":usage:" not in name] == []


async def released(store: BatchStore, lease: Lease, kind: Release) -> bool:
    return await store.release(lease, kind, delay_ms=1, error=ItemError(reason="WHY"))


async def test_a_new_round_runs_the_failed_and_skipped_again(store: BatchStore) -> None:
    """RetryBatch runs what failed or was skipped with fresh counters, and keeps what succeeded."""
    new = new_batch(total=3, max_concurrent=1, continue_on_error=False)
    batch_id = await store.create(USER, new)
    (first,) = await claim(store)
    with pytest.raises(WrongState):
        await store.retry(USER, batch_id)
    await succeed(store, first)
    (second,) = await claim(store)
    await fail(store, second)
    assert await states(store, batch_id) == [
        "PARTIALLY_SUCCEEDED",
        "SUCCEEDED",
        "FAILED",
        "SKIPPED",
    ]
    await store.retry(USER, batch_id)
    assert await states(store, batch_id) == ["PENDING", "SUCCEEDED", "PENDING", "PENDING"]
    for _ in range(2):
        (lease,) = await claim(store)
        assert await succeed(store, lease)
    stored = await store.batch(USER, batch_id, with_items=True)
    assert (stored.batch.round, stored.batch.state) == (2, BatchState.BATCH_STATE_SUCCEEDED)
    assert [attempt.reason for attempt in stored.batch.items[1].attempts] == ["NO_AUDIO", ""]
    assert stored.tally.ended_audio_ms == 6000
    with pytest.raises(WrongState):
        await store.retry(USER, batch_id)


async def test_attempts_are_listed_with_reason_and_worker(store: BatchStore) -> None:
    """An item lists what became of each attempt; one that was nobody's fault does not count."""
    batch_id = await store.create(USER, new_batch(total=1))
    for kind in (Release.RETRY, Release.LOST, Release.OVER):
        (lease,) = await wait_until(lambda: claim(store))
        assert await begin(store, lease)
        assert await released(store, lease, kind)
    (lease,) = await wait_until(lambda: claim(store))
    assert await succeed(store, lease)
    item = (await store.batch(USER, batch_id, with_items=True)).batch.items[0]
    assert [AttemptResult.Name(attempt.result) for attempt in item.attempts] == [
        "ATTEMPT_RESULT_FAILED",
        "ATTEMPT_RESULT_LOST",
        "ATTEMPT_RESULT_LOST",
        "ATTEMPT_RESULT_SUCCEEDED",
    ]
    assert {(attempt.worker, attempt.reason) for attempt in item.attempts} == {
        ("w", "WHY"),
        ("w", ""),
    }
    assert item.attempt_count == 2


async def test_running_work_is_offered_to_its_transcriber_first(store: BatchStore) -> None:
    """For half a second only the transcriber that still works on an item can have it."""
    await store.create(USER, new_batch(total=1))
    (lease,) = await claim(store, worker="w1")
    assert await begin(store, lease)
    assert await released(store, lease, Release.OVER)
    assert await claim(store, worker="w2") == []
    (adopted,) = await claim(store, worker="w1", count=0, slots=0)
    assert adopted.epoch == lease.epoch + 1


async def test_unadopted_work_starts_anywhere_after_a_while(store: BatchStore) -> None:
    """If its transcriber cannot be reached the item goes to another."""
    await store.create(USER, new_batch(total=1))
    (lease,) = await claim(store, worker="w1")
    assert await released(store, lease, Release.OVER)
    (again,) = await wait_until(lambda: claim(store, worker="w2"))
    assert again.item_id == lease.item_id
    assert await claim(store, worker="w1", count=0, slots=0) == []


async def test_three_crashes_are_poison(store: BatchStore) -> None:
    """An item that brings its transcriber's child down three times has failed as POISON."""
    batch_id = await store.create(USER, new_batch(total=2))
    for _ in range(3):
        leases = await wait_until(lambda: claim(store, count=2))
        lease = next(lease for lease in leases if lease.item_id.endswith("_0"))
        assert await released(store, lease, Release.CRASH)
    stored = await store.batch(USER, batch_id, with_items=True)
    assert stored.batch.items[0].error.reason == "POISON"
    assert stored.batch.items[1].state == ItemState.ITEM_STATE_PENDING


async def suspected(store: BatchStore, times: int, worker: str = "w1") -> str:
    """Make a batch whose one item was on ``times`` transcribers that vanished."""
    batch_id = await store.create(USER, new_batch(total=1))
    for run in range(times):
        (lease,) = await wait_until(lambda: claim(store, worker=worker))
        await store.release(lease, Release.LOST, delay_ms=1, boot_id=f"boot{run}")
        assert await store.blame(f"boot{run}") == 1
        assert await store.blame(f"boot{run}") == 0
    return batch_id


async def test_item_is_poison_after_four_vanished_transcribers(store: BatchStore) -> None:
    """An item that was there each of four times a transcriber vanished has failed as POISON."""
    batch_id = await suspected(store, 4)
    item = (await store.batch(USER, batch_id, with_items=True)).batch.items[0]
    assert item.error.reason == "POISON"


async def test_suspect_runs_alone(store: BatchStore) -> None:
    """From the second suspicion on nothing runs beside an item, before or after it starts."""
    busy_batch = await store.create(USER, new_batch(total=1))
    (busy,) = await claim(store)
    suspect_batch = await suspected(store, 2, worker="w2")
    assert await claim(store, count=5) == [], "reserved: the transcriber has to be empty first"
    assert await succeed(store, busy)
    (suspect,) = await claim(store, count=5)
    assert (busy.batch_id, suspect.batch_id) == (busy_batch, suspect_batch)
    await store.create(USER, new_batch(total=1))
    assert await claim(store, count=5) == [], "nothing starts beside it"
    assert await succeed(store, suspect)
    assert len(await claim(store, count=5)) == 1


async def test_site_that_asks_to_wait_stops_its_items_only(store: BatchStore) -> None:
    """A site's breaker holds back all of its items, uses no attempt, and stops no other site."""
    new = new_batch(total=3, max_concurrent=10)
    new.items[2][1].url = "http://other.test/2"
    batch_id = await store.create(USER, new)
    first, _ = await claim(store, count=2)
    assert await begin(store, first)
    assert await released(store, first, Release.SITE)
    again = new_batch(total=1)
    await store.create(USER, again)
    rest = await claim(store, count=9)
    assert [lease.request.url for lease in rest] == ["http://other.test/2"]
    item = (await store.batch(USER, batch_id, with_items=True)).batch.items[0]
    assert item.attempt_count == 0
    wait = item.next_attempt_time.ToMilliseconds() - item.attempts[0].end_time.ToMilliseconds()
    assert wait == pytest.approx(60_000, abs=1000)


async def test_a_suspect_lets_go_of_its_transcriber_when_its_site_asks_to_wait(
    store: BatchStore,
) -> None:
    """A transcriber kept for a suspect serves others once the suspect's site has asked to wait."""
    await store.create(USER, new_batch(total=1))
    (same_site,) = await claim(store)
    await suspected(store, 2, worker="w2")
    assert await claim(store) == [], "reserved"
    other = new_batch(total=1)
    other.items[0][1].url = "http://other.test/"
    await store.create(USER, other)
    assert await released(store, same_site, Release.SITE)
    assert [lease.request.url for lease in await claim(store, count=9)] == ["http://other.test/"]


async def test_a_failure_before_any_stage_starts_the_batch(store: BatchStore) -> None:
    """A batch whose first video fails before it was ever reported runs, and has a start time."""
    batch_id = await store.create(USER, new_batch(total=1))
    (lease,) = await claim(store)
    assert await released(store, lease, Release.RETRY)
    stored = await store.batch(USER, batch_id, with_items=False)
    assert stored.batch.state == BatchState.BATCH_STATE_RUNNING
    assert stored.batch.HasField("start_time")


async def test_a_batch_that_is_being_cancelled_still_says_when_it_started(
    store: BatchStore,
) -> None:
    """A video that is begun after the whole batch was to be cancelled gives it a start time."""
    batch_id = await store.create(USER, new_batch(total=1))
    (lease,) = await claim(store)
    await store.cancel(USER, batch_id, [])
    assert await begin(store, lease)
    assert await states(store, batch_id) == ["CANCELLING", "TRANSCRIBING"]
    assert await succeed(store, lease)
    stored = await store.batch(USER, batch_id, with_items=False)
    assert stored.batch.start_time.ToMilliseconds() <= stored.batch.end_time.ToMilliseconds()
    assert stored.batch.HasField("start_time")


async def test_overdue_batch_is_given_up(
    store: BatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that does not end in time ends with its open items FAILED as EXPIRED."""
    monkeypatch.setattr("gateway.store.batch_store.DEADLINE_MS", 1)
    batch_id = await store.create(USER, new_batch(total=2))
    (lease,) = await claim(store)

    async def something_ended() -> bool:
        _, ended = await store.reap()
        return ended > 0

    await wait_until(something_ended)
    stored = await store.batch(USER, batch_id, with_items=True)
    assert {item.error.reason for item in stored.batch.items} == {"EXPIRED"}
    assert not await succeed(store, lease)


async def test_delete_needs_an_ended_batch(store: BatchStore) -> None:
    """DeleteBatch refuses a running batch and leaves nothing of an ended one."""
    batch_id = await store.create(USER, new_batch(total=1))
    with pytest.raises(WrongState):
        await store.delete(USER, batch_id)
    (lease,) = await claim(store)
    await fail(store, lease)
    await store.delete(USER, batch_id)
    with pytest.raises(NotFound):
        await store.batch(USER, batch_id, with_items=False)
    with pytest.raises(NotFound):
        await store.delete(USER, batch_id)


async def test_a_spoilt_batch_holds_nobody_up(
    store: BatchStore, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches that somebody else has overwritten are passed over, leased or ready; others go on."""
    monkeypatch.setattr("gateway.store.batch_store.LEASE_MS", 0)
    spoilt = [await store.create(USER, new_batch(total=1)) for _ in range(2)]
    await claim(store)
    sound = await store.create("bob", new_batch(total=1))
    async with connect(redis_url) as redis:
        for batch_id in spoilt:
            await redis.set(keys.key("batch", USER, batch_id), "not ours")
    assert (await store.reap())[0] == 1
    (lease,) = await claim(store, count=2)
    assert lease.batch_id == sound
    assert await succeed(store, lease)
    assert await claim(store) == []


async def test_a_spoilt_suspect_lets_go_of_its_transcriber(
    store: BatchStore, redis_url: str
) -> None:
    """A transcriber that was kept for one item serves others once that item is overwritten."""
    await suspected(store, 2)
    (suspect,) = await wait_until(lambda: claim(store))
    await store.create("bob", new_batch(total=1))
    assert await claim(store) == [], "nothing starts beside a suspect"
    async with connect(redis_url) as redis:
        await redis.set(keys.key("item", USER, suspect.item_id), "not ours")
    (lease,) = await claim(store)
    assert lease.user == "bob"


async def test_data_of_a_newer_version_is_refused(redis_url: str) -> None:
    """A gateway does not touch data that a newer major version wrote."""
    redis = connect(redis_url)
    await check_schema(redis)
    await check_schema(redis)
    await redis.set("{bs}:schema", 2)
    with pytest.raises(SchemaTooNew):
        await check_schema(redis)
    await redis.aclose()
