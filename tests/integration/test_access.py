"""Keys: which open the door, until when, and what the others are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import grpc
import httpx2
import pytest
import redis.asyncio
from batchscribe.v1.batch_pb2 import VideoSpec
from batchscribe.v1.batch_service_pb2 import (
    CancelBatchRequest,
    CreateBatchRequest,
    GetBatchRequest,
    GetTranscriptRequest,
    ListBatchesRequest,
    WatchBatchRequest,
)
from structlog.testing import capture_logs

from gateway import access
from gateway.access import Caller, KeyRing, Role
from gateway.api_key import ApiKey
from gateway.errors import StoreUnavailable, Unauthenticated
from gateway.store import Accounts, NewKey, connect
from servicekit import status
from tests.running_gateway import KEY, METADATA, RunningGateway, running_gateway
from tests.support import wait_until
from tests.valkey import Valkey

BY = "operator:test"


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def accounts(redis_url: str) -> AsyncIterator[Accounts]:
    async with connect(redis_url) as client:
        yield Accounts(client)


async def enrol(
    accounts: Accounts, user: str, *, role: str = "", ttl: timedelta = timedelta()
) -> ApiKey:
    key = ApiKey.new()
    new = NewKey(key.key_id, key.digest, ttl_ms=int(ttl.total_seconds() * 1000))
    await accounts.enrol(BY, new, user, tier="unlimited", role=role, default_tier="standard")
    return key


def bearer(key: ApiKey) -> list[str]:
    return [f"Bearer {key.text}"]


def metadata(key: ApiKey, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key.text}"), *more)


async def test_a_key_tells_who_calls(accounts: Accounts) -> None:
    """User, tier and role come from what the operator stored, and from nothing else."""
    key = await enrol(accounts, "ann", role="admin")
    assert await KeyRing(accounts).caller_of(bearer(key)) == Caller(
        "ann", "unlimited", Role.ADMIN, key.key_id
    )


async def test_the_scheme_may_be_in_lower_case(accounts: Accounts) -> None:
    """``bearer`` is as good as ``Bearer``, as HTTP has it."""
    key = await enrol(accounts, "ann")
    assert (await KeyRing(accounts).caller_of([f"bearer {key.text}"])).user == "ann"


async def test_only_the_hash_of_a_secret_is_stored(accounts: Accounts, redis_url: str) -> None:
    """Whoever reads all of Redis cannot call."""
    key = await enrol(accounts, "ann")
    client = redis.asyncio.Redis.from_url(redis_url)
    dump = [await client.dump(name) async for name in client.scan_iter()]
    await client.aclose()
    assert any(key.digest in value for value in dump if value)
    assert not any(key.secret.encode() in value for value in dump if value)


@pytest.mark.parametrize("kind", ["none", "twice", "basic", "garbled", "unknown", "wrong secret"])
async def test_what_is_no_good_key_is_refused(accounts: Accounts, kind: str) -> None:
    """Missing, doubled, garbled, unknown and wrong keys are refused, the last two alike."""
    key = await enrol(accounts, "ann")
    headers = {
        "none": [],
        "twice": bearer(key) * 2,
        "basic": [f"Basic {key.text}"],
        "garbled": [f"Bearer {key.text} "],
        "unknown": bearer(ApiKey("nobody", key.secret)),
        "wrong secret": bearer(ApiKey(key.key_id, "0" * 64)),
    }
    with pytest.raises(Unauthenticated) as caught:
        await KeyRing(accounts).caller_of(headers[kind])
    assert caught.value.reason == ("TOKEN_MISSING" if kind == "none" else "TOKEN_INVALID")
    if kind in ("unknown", "wrong secret"):
        assert str(caught.value) == str(access._unknown())


async def test_a_refusal_costs_redis_no_write(accounts: Accounts, redis_url: str) -> None:
    """Strangers cannot fill Redis: what they send leaves nothing there."""
    ring = KeyRing(accounts)
    client = redis.asyncio.Redis.from_url(redis_url)
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await ring.caller_of(bearer(ApiKey.new()))
    assert await client.dbsize() == 0
    await client.aclose()


async def test_a_wrong_secret_takes_the_way_of_an_unknown_id(
    accounts: Accounts, redis_url: str
) -> None:
    """A key id that is known, and known just now, cannot be told by the way that a no takes."""
    key = await enrol(accounts, "ann")
    ring = KeyRing(accounts)
    await ring.caller_of(bearer(key))
    for stranger in (ApiKey(key.key_id, "0" * 64), ApiKey("nobody", "0" * 64)):
        before = await scripts_run(redis_url)
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await ring.caller_of(bearer(stranger))
        assert await scripts_run(redis_url) == before + 3


async def scripts_run(url: str) -> int:
    client: Any = redis.asyncio.Redis.from_url(url)
    stats = await client.info("commandstats")
    await client.aclose()
    return int(stats["cmdstat_evalsha"]["calls"])


async def test_an_expired_key_opens_nothing(accounts: Accounts) -> None:
    """A key ends by itself, also while it is remembered, and its holder is told so."""
    key = await enrol(accounts, "ann", ttl=timedelta(milliseconds=300))
    ring = KeyRing(accounts)
    await ring.caller_of(bearer(key))
    assert await wait_until(lambda: _is_refused(ring, key, "TOKEN_EXPIRED"))


async def test_a_revoked_key_opens_nothing_after_a_minute(accounts: Accounts) -> None:
    """What Redis said is believed for less than a minute, whatever happens."""
    clock = Clock()
    key = await enrol(accounts, "ann")
    ring = KeyRing(accounts, clock=clock)
    await ring.caller_of(bearer(key))
    assert await accounts.revoke(BY, key.key_id)
    clock.now += access.FRESH_SECONDS
    assert await _is_refused(ring, key, "TOKEN_REVOKED")
    assert access.FRESH_SECONDS < access.STALE_SECONDS < 60


async def _is_refused(ring: KeyRing, key: ApiKey, reason: str) -> bool:
    try:
        await ring.caller_of(bearer(key))
    except Unauthenticated as error:
        return error.reason == reason
    return False


async def test_a_short_outage_of_redis_locks_nobody_out(valkey: Valkey) -> None:
    """Who was known just before goes on; who was not is asked to come again."""
    valkey.flush()
    clock = Clock()
    async with connect(valkey.url) as client:
        accounts = Accounts(client)
        known, new = await enrol(accounts, "ann"), await enrol(accounts, "bob")
        ring = KeyRing(accounts, clock=clock)
        await ring.caller_of(bearer(known))
        valkey.kill()
        clock.now += access.FRESH_SECONDS
        assert (await ring.caller_of(bearer(known))).user == "ann"
        with pytest.raises(StoreUnavailable):
            await ring.caller_of(bearer(new))
        clock.now += access.STALE_SECONDS - access.FRESH_SECONDS
        with pytest.raises(StoreUnavailable):
            await ring.caller_of(bearer(known))
        valkey.start()


async def test_a_stream_ends_with_its_key(
    accounts: Accounts, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch whose key is revoked ends UNAUTHENTICATED; that of another key goes on."""
    monkeypatch.setattr("gateway.open_streams.CHECK_SECONDS", 0.05)
    revoked, kept = await enrol(accounts, "ann"), await enrol(accounts, "ann")
    async with running_gateway(redis_url) as gateway:
        batch = await _create(gateway, revoked)
        request = WatchBatchRequest(batch_id=batch)
        ends = gateway.stub.WatchBatch(request, metadata=metadata(revoked))
        stays = gateway.stub.WatchBatch(request, metadata=metadata(kept))
        await ends.read()
        await stays.read()
        await accounts.revoke(BY, revoked.key_id)
        assert await asyncio.wait_for(_code_after_all(ends), 5) is grpc.StatusCode.UNAUTHENTICATED
        await gateway.stub.CancelBatch(CancelBatchRequest(batch_id=batch), metadata=metadata(kept))
        assert await asyncio.wait_for(_code_after_all(stays), 5) is grpc.StatusCode.OK


async def test_a_stream_that_nobody_reads_ends_with_its_key(
    accounts: Accounts, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watcher who never reads is refused too, and told so when they read on."""
    monkeypatch.setattr("gateway.open_streams.CHECK_SECONDS", 0.05)
    key = await enrol(accounts, "ann")
    large = [VideoSpec(url=f"http://x.test/{n}/{'x' * 1500}") for n in range(100)]
    async with running_gateway(
        redis_url, tiers={"unlimited": {"videos_per_batch": 100}}
    ) as gateway:
        created = await gateway.stub.CreateBatch(
            CreateBatchRequest(videos=large), metadata=metadata(key)
        )
        request = WatchBatchRequest(batch_id=created.batch.batch_id)
        watch = gateway.stub.WatchBatch(request, metadata=metadata(key))
        await watch.wait_for_connection()
        await wait_until(handlers)
        await accounts.revoke(BY, key.key_id)
        await wait_until(lambda: not handlers())
        assert await asyncio.wait_for(_code_after_all(watch), 5) is (
            grpc.StatusCode.UNAUTHENTICATED
        )


def handlers() -> list[str]:
    """Return the RPCs that this process is handling."""
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if "WatchBatch" in name]


async def _create(gateway: RunningGateway, key: ApiKey) -> str:
    request = CreateBatchRequest(videos=[VideoSpec(url="http://x.test/1")])
    return (await gateway.stub.CreateBatch(request, metadata=metadata(key))).batch.batch_id


async def _code_after_all(call: "grpc.aio.UnaryStreamCall[Any, Any]") -> grpc.StatusCode:
    with suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    return await call.code()


async def test_a_malformed_message_is_the_callers_fault(redis_url: str) -> None:
    """Bytes that are no message are INVALID_ARGUMENT in our words, not those of Python."""
    async with (
        running_gateway(redis_url) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        call: Any = channel.unary_unary("/batchscribe.v1.BatchService/GetBatch")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff", metadata=METADATA)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert status.reason_of(caught.value) == "MESSAGE_MALFORMED"


async def test_an_admin_reads_a_users_batches_on_record(accounts: Accounts, redis_url: str) -> None:
    """An admin sees a user's batch and list; log and record say who looked at what."""
    user, admin = await enrol(accounts, "ann"), await enrol(accounts, "root", role="admin")
    as_ann = metadata(admin, ("x-batchscribe-user", "ann"))
    async with running_gateway(redis_url) as gateway:
        batch_id = await _create(gateway, user)
        with capture_logs() as logs:
            found = await gateway.stub.GetBatch(GetBatchRequest(batch_id=batch_id), metadata=as_ann)
            listed = await gateway.stub.ListBatches(ListBatchesRequest(), metadata=as_ann)
            watch = gateway.stub.WatchBatch(WatchBatchRequest(batch_id=batch_id), metadata=as_ann)
            await watch.read()
            watch.cancel()
    assert found.batch.batch_id == listed.batches[0].batch_id == batch_id
    record = [(one.by, one.action, one.user, one.subject) for one in await accounts.audited(3)]
    assert record == [
        ("root", "WatchBatch", "ann", batch_id),
        ("root", "ListBatches", "ann", ""),
        ("root", "GetBatch", "ann", batch_id),
    ]
    assert [log["action"] for log in logs if log["event"] == "an admin reads"] == [
        "GetBatch",
        "ListBatches",
        "WatchBatch",
    ]


@pytest.mark.parametrize("user", ["ann", "nobody"])
async def test_standing_in_is_for_admins_and_for_reading(
    accounts: Accounts, redis_url: str, user: str
) -> None:
    """A user may stand in for nobody, an admin change nothing and read no transcript."""
    plain, admin = await enrol(accounts, "bob"), await enrol(accounts, "root", role="admin")
    named = ("x-batchscribe-user", user)
    async with running_gateway(redis_url) as gateway:
        stub = gateway.stub
        cases: list[tuple[Any, str]] = [
            (stub.GetBatch(GetBatchRequest(), metadata=metadata(plain, named)), "ADMIN_ONLY"),
            (stub.CancelBatch(CancelBatchRequest(), metadata=metadata(admin, named)), "READ_ONLY"),
            (
                stub.GetTranscript(GetTranscriptRequest(), metadata=metadata(admin, named)),
                "READ_ONLY",
            ),
        ]
        for call, reason in cases:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert status.reason_of(caught.value) == reason


@pytest.fixture
async def rest(
    accounts: Accounts, redis_url: str
) -> AsyncIterator[tuple[RunningGateway, httpx2.AsyncClient]]:
    """A gateway with its REST routes, and a client of them without a key."""
    async with (
        running_gateway(redis_url, http_listen="127.0.0.1:0") as gateway,
        httpx2.AsyncClient(base_url=f"http://{gateway.http}/api/v1") as client,
    ):
        yield gateway, client


REST_ROUTES = ("/quota", "/batches", "/batches/x/events", "/batches/x/export", "/queue")


@pytest.mark.parametrize("other", [f"Bearer {KEY}", "", "Basic eDp5"])
async def test_two_keys_over_http_are_one_too_many(
    rest: tuple[RunningGateway, httpx2.AsyncClient], other: str
) -> None:
    """Neither the first nor the last of several Authorization headers wins, on any route."""
    good = f"Bearer {KEY}"
    for values in ((good, other), (other, good)):
        for route in REST_ROUTES:
            headers = [("Authorization", value) for value in values]
            response = await rest[1].get(route, headers=headers)
            assert (response.status_code, response.json()["reason"]) == (401, "TOKEN_INVALID")
            assert "more than one" in response.json()["detail"]


async def test_nobody_stands_in_over_http_who_may_not(
    accounts: Accounts, rest: tuple[RunningGateway, httpx2.AsyncClient]
) -> None:
    """A user who names another is refused on every route, not answered as themselves."""
    bob = metadata(await enrol(accounts, "bob"), ("x-batchscribe-user", "ann"))
    for route in REST_ROUTES:
        response = await rest[1].get(route, headers=bob)
        assert (response.status_code, response.json()["reason"]) == (403, "ADMIN_ONLY")


async def test_an_admin_reads_over_http_what_grpc_lets_them(
    accounts: Accounts, rest: tuple[RunningGateway, httpx2.AsyncClient]
) -> None:
    """An admin sees a user's batch on record, and nothing that is the user's alone."""
    gateway, client = rest
    batch_id = await _create(gateway, await enrol(accounts, "ann"))
    as_ann = metadata(await enrol(accounts, "root", role="admin"), ("X-Batchscribe-User", "ann"))
    found = await client.get(f"/batches/{batch_id}", headers=as_ann)
    assert found.json()["batch"]["batch_id"] == batch_id
    assert [(one.by, one.action, one.user) for one in await accounts.audited(1)] == [
        ("root", "GetBatch", "ann")
    ]
    for refused in (
        await client.delete(f"/batches/{batch_id}", headers=as_ann),
        await client.get("/transcripts/x/export", headers=as_ann),
        await client.get(f"/batches/{batch_id}", headers=[*as_ann, ("x-batchscribe-user", "bob")]),
    ):
        assert (refused.status_code, refused.json()["reason"]) == (403, "READ_ONLY")
