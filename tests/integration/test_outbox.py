"""The outbox and its leases against a real server, with no gateway about."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1.batch_pb2 import Batch, BatchItem, BatchOptions
from batchscribe.v1.webhook_service_pb2 import DeliveryState

from gateway.errors import NotFound
from gateway.ids import item_id, new_batch_id
from gateway.store import BatchStore, NewBatch, Outbox, SendResult, connect, keys
from gateway.webhooks import SendPolicy, WebhookSender
from servicekit import tasks
from servicekit.egress import Egress, exemption
from tests.support import wait_until
from tests.webhook_receiver import never, receiving, status

USER = "ann"
WEBHOOK = "https://ann.test/told"
LONG_MS = 60_000
DELIVERED = SendResult(DeliveryState.DELIVERY_STATE_DELIVERED, 200, "")
FAILED = SendResult(DeliveryState.DELIVERY_STATE_FAILED, 500, "No.")


@dataclass(frozen=True)
class Stored:
    """Batches and their messages."""

    batches: BatchStore
    outbox: Outbox

    async def end_batch(self, webhook: str = WEBHOOK, user: str = USER) -> str:
        """Return the id of a batch that has ended, cancelled before it began."""
        options = BatchOptions(notify_webhook=webhook)
        batch = Batch(batch_id=new_batch_id(), options=options)
        item = BatchItem(item_id=item_id(batch.batch_id, 0)), TranscribeRequest()
        await self.batches.create(user, NewBatch(batch, [item]))
        await self.batches.cancel(user, batch.batch_id, ())
        return batch.batch_id

    async def state(self, batch_id: str) -> str:
        [delivery] = await self.outbox.deliveries(USER, batch_id)
        return DeliveryState.Name(delivery.state).removeprefix("DELIVERY_STATE_")


@pytest.fixture
async def stored(redis_url: str) -> AsyncIterator[Stored]:
    redis = connect(redis_url)
    yield Stored(BatchStore(redis), Outbox(redis))
    await redis.aclose()


@asynccontextmanager
async def sending(stored: Stored, policy: SendPolicy) -> AsyncIterator[None]:
    """Send while the context is open, and then stop without any ceremony."""
    egress = Egress([exemption("127.0.0.1:*")])
    sender = asyncio.create_task(WebhookSender(stored.batches, stored.outbox, policy, egress).run())
    yield
    await tasks.cancel([sender])


async def test_a_sender_killed_after_its_post_leads_to_a_second_one(stored: Stored) -> None:
    """Between POST and record a sender dies: the message comes again under the same id."""
    policy = SendPolicy(30, lease_seconds=0.3, retry_seconds=(), allow_http=True)
    async with receiving(never, status(200)) as receiver:
        batch_id = await stored.end_batch(receiver.url)
        async with sending(stored, policy):
            await wait_until(lambda: receiver.received)
        assert await stored.state(batch_id) == "PENDING"
        async with sending(stored, policy):
            await wait_until(lambda: len(receiver.received) == 2)
    assert len({received.webhook_id for received in receiver.received}) == 1


async def test_a_message_is_leased_to_one_at_a_time(stored: Stored) -> None:
    """A leased message is not due before its lease has run out."""
    batch_id = await stored.end_batch()
    [message] = await stored.outbox.claim(8, LONG_MS)
    assert (message.batch_id, message.tries, message.url) == (batch_id, 1, WEBHOOK)
    assert await stored.outbox.claim(8, LONG_MS) == []


async def test_a_late_record_counts_for_nothing(stored: Stored) -> None:
    """Who was too slow to record an attempt cannot undo what the next one did."""
    batch_id = await stored.end_batch()
    [slow] = await stored.outbox.claim(1, lease_ms=0)
    [quick] = await stored.outbox.claim(1, LONG_MS)
    assert await stored.outbox.record(quick, DELIVERED)
    assert not await stored.outbox.record(slow, FAILED)
    assert await stored.state(batch_id) == "DELIVERED"


async def test_a_record_may_be_repeated(stored: Stored) -> None:
    """A record whose reply was lost is OK again, and undoes no redelivery in between."""
    batch_id = await stored.end_batch()
    [message] = await stored.outbox.claim(1, LONG_MS)
    assert await stored.outbox.record(message, DELIVERED)
    await stored.outbox.redeliver(USER, message.webhook_id)
    assert await stored.outbox.record(message, DELIVERED)
    assert await stored.state(batch_id) == "PENDING"


async def test_redelivery_leaves_a_message_that_is_being_sent_alone(stored: Stored) -> None:
    """A message is not sent twice at a time, and has all its retries before it again."""
    await stored.end_batch()
    [message] = await stored.outbox.claim(1, LONG_MS)
    await stored.outbox.redeliver(USER, message.webhook_id)
    assert await stored.outbox.claim(1, LONG_MS) == []
    again = SendResult(DeliveryState.DELIVERY_STATE_PENDING, 500, "No.")
    assert await stored.outbox.record(message, again)
    [second] = await stored.outbox.claim(1, LONG_MS)
    assert (second.webhook_id, second.tries) == (message.webhook_id, 1)


async def test_a_record_brings_no_deleted_message_back(stored: Stored) -> None:
    """A message that went with its batch while it was sent stays away."""
    batch_id = await stored.end_batch()
    [message] = await stored.outbox.claim(1, lease_ms=0)
    await stored.batches.delete(USER, batch_id)
    assert not await stored.outbox.record(message, FAILED)
    assert await stored.outbox.claim(1, LONG_MS) == []
    with pytest.raises(NotFound):
        await stored.outbox.redeliver(USER, message.webhook_id)


async def test_another_user_has_no_such_message(stored: Stored) -> None:
    """Messages and batches of one user do not exist for another."""
    batch_id = await stored.end_batch()
    [message] = await stored.outbox.claim(1, LONG_MS)
    with pytest.raises(NotFound):
        await stored.outbox.deliveries("bob", batch_id)
    with pytest.raises(NotFound):
        await stored.outbox.redeliver("bob", message.webhook_id)


async def test_one_receiver_and_one_user_get_a_few_places(stored: Stored) -> None:
    """Of what is due at most two go to one host and four of one user, counting those on the way."""
    for host in ("a", "b", "c"):
        for _ in range(3):
            await stored.end_batch(f"https://{host}.test/told")
    await stored.end_batch(user="bob")
    claimed = await stored.outbox.claim(8, LONG_MS)
    receivers = [message.receiver for message in claimed]
    assert receivers == ["ann/a.test"] * 2 + ["ann/b.test"] * 2 + ["bob/ann.test"]
    assert await stored.outbox.claim(8, LONG_MS, receivers) == []
    [third] = await stored.outbox.claim(8, LONG_MS, receivers[1:])
    assert third.receiver == "ann/a.test"


async def test_a_long_queue_hides_nobody(stored: Stored) -> None:
    """However many messages wait for one receiver, those behind them are found."""
    for _ in range(250):
        await stored.end_batch("https://hanging.test/")
    await stored.end_batch("https://other.test/")
    busy = ["ann/hanging.test"] * 2
    assert await stored.outbox.claim(8, LONG_MS, busy) == []
    [found] = await stored.outbox.claim(8, LONG_MS, busy)
    assert found.receiver == "ann/other.test"


async def test_a_spoilt_message_holds_nobody_up(stored: Stored, redis_url: str) -> None:
    """A message that somebody else has overwritten is passed over, and those behind it are sent."""
    spoilt, sound = await stored.end_batch(), await stored.end_batch("https://other.test/")
    async with connect(redis_url) as redis:
        [delivery] = await stored.outbox.deliveries(USER, spoilt)
        await redis.set(keys.key("message", USER, delivery.webhook_id), "not ours")
        claimed = await stored.outbox.claim(8, LONG_MS)
    assert [message.batch_id for message in claimed] == [sound]


async def test_secrets_of_rotations_nobody_saw_drop_no_other(stored: Stored) -> None:
    """A rotation repeated because its answer was lost leaves the secret in use valid."""
    assert await stored.outbox.secrets(USER, "first") == ["first"]
    assert await stored.outbox.secrets(USER, "spare") == ["first"]
    assert await stored.outbox.rotate(USER, "unseen", LONG_MS)
    assert await stored.outbox.rotate(USER, "second", LONG_MS)
    assert set(await stored.outbox.secrets(USER, "")) == {"second", "unseen", "first"}
    assert await stored.outbox.secrets("bob", "his") == ["his"]


async def test_an_old_secret_runs_out(stored: Stored) -> None:
    """When its time is over an old secret signs no more."""
    assert await stored.outbox.rotate(USER, "old", LONG_MS) is None
    await stored.outbox.rotate(USER, "new", 0)
    assert await stored.outbox.secrets(USER, "") == ["new"]
