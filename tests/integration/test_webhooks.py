"""Webhooks from the end of a batch to a receiver, over real sockets and a real Redis."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from batchscribe.cli.webhooks import say_first_attempts
from batchscribe.client import Client, Delivery
from batchscribe.client.errors import InvalidRequest, NotFound
from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    TranscribeRequest,
    TranscribeResponse,
)
from batchscribe.v1.batch_pb2 import BatchOptions
from batchscribe.v1.batch_service_pb2 import DeleteBatchRequest, RetryBatchRequest
from batchscribe.v1.webhook_service_pb2 import DeliveryState
from rich.console import Console

from tests.certificates import Authority
from tests.running_gateway import KEY, METADATA, RunningGateway, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, failed, running, succeeded
from tests.support import wait_until
from tests.webhook_receiver import SELF_SIGNED, WebhookReceiver, endless, never, receiving, status

VIDEO = "http://media.test/0.mp4"
NINE_RETRIES = (0.0,) * 9


@asynccontextmanager
async def telling(redis_url: str, **settings: Any) -> AsyncIterator[tuple[RunningGateway, Client]]:
    """A gateway that may tell http addresses and retries at once, and a client of it."""
    values: dict[str, Any] = {
        "webhook_allow_http": True,
        "webhook_retry_seconds": NINE_RETRIES,
    } | settings
    async with (
        running_gateway(redis_url, **values) as gateway,
        Client(gateway.address, KEY) as client,
    ):
        yield gateway, client


async def end_batch(client: Client, webhook: str) -> str:
    """Return the id of a batch that has just ended, cancelled before it began."""
    batch = await client.create_batch([VIDEO], options=BatchOptions(notify_webhook=webhook))
    await client.cancel(batch.batch_id)
    return batch.batch_id


async def settled(client: Client, batch_id: str) -> Delivery:
    """Wait until the batch's newest message is not PENDING any more, and return it."""

    async def is_settled() -> Delivery | None:
        newest = (await client.deliveries(batch_id))[:1]
        return newest[0] if newest and state_of(newest[0]) != "PENDING" else None

    return await wait_until(is_settled)


async def failed_once(client: Client, batch_id: str) -> bool:
    return (await client.deliveries(batch_id))[0].last_http_status == 500


async def fails_once(me: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
    return failed() if me.seen[request.url] == 1 else succeeded()


def ids(receiver: WebhookReceiver) -> set[str]:
    return {received.webhook_id for received in receiver.received}


def state_of(delivery: Delivery) -> str:
    return DeliveryState.Name(delivery.state).removeprefix("DELIVERY_STATE_")


async def test_the_end_of_a_batch_is_told_signed_and_thin(redis_url: str) -> None:
    """A receiver gets one signed message: the plan's document without results, as of the end."""
    async with telling(redis_url) as (_, client), receiving() as receiver:
        rotated = await client.rotate_webhook_secret()
        batch_id = await end_batch(client, receiver.url)
        delivery = await settled(client, batch_id)
        batch = await client.get_batch(batch_id)
    [received] = receiver.received
    told = received.verified(rotated.secret)
    assert told["type"] == "batch.cancelled"
    assert told["timestamp"] == batch.end_time.ToJsonString()
    assert told["data"] == {
        "batch_id": batch_id,
        "status": "cancelled",
        "total_videos": 1,
        "completed": 0,
        "failed": 0,
        "in_progress": 0,
        "progress_percentage": 100.0,
        "estimated_completion": None,
        "created_at": batch.create_time.ToJsonString(),
        "updated_at": batch.update_time.ToJsonString(),
        "completed_at": batch.end_time.ToJsonString(),
    }
    assert received.headers["content-type"] == "application/json"
    assert received.webhook_id == f"msg_{batch_id.removeprefix('batch_')}_1"
    assert (state_of(delivery), delivery.attempt_count) == ("DELIVERED", 1)
    assert (delivery.webhook_id, delivery.url) == (received.webhook_id, receiver.url)
    assert (delivery.last_http_status, delivery.last_error) == (200, "")


async def test_a_failing_receiver_gets_one_event_in_the_end(redis_url: str) -> None:
    """After nine answers of 500 the tenth attempt arrives: same id, same bytes, one event."""
    replies = [status(500)] * 9 + [status(204)]
    async with telling(redis_url) as (_, client), receiving(*replies) as receiver:
        rotated = await client.rotate_webhook_secret()
        delivery = await settled(client, await end_batch(client, receiver.url))
    assert (state_of(delivery), delivery.attempt_count) == ("DELIVERED", 10)
    assert len(receiver.received) == 10
    assert ids(receiver) == {delivery.webhook_id}
    assert len({received.body for received in receiver.received}) == 1
    for received in receiver.received:
        received.verified(rotated.secret)


async def test_a_receiver_that_never_takes_it_is_given_up(redis_url: str) -> None:
    """When the attempts are used up the message is FAILED and says what came last."""
    async with telling(redis_url) as (_, client), receiving(status(503)) as receiver:
        delivery = await settled(client, await end_batch(client, receiver.url))
    assert (state_of(delivery), delivery.attempt_count) == ("FAILED", 10)
    assert delivery.last_http_status == 503
    assert delivery.last_error == "The receiver answered 503."
    assert not delivery.HasField("next_attempt_time")


async def test_gone_stops_at_once(redis_url: str) -> None:
    """An answer of 410 ends the attempts."""
    async with telling(redis_url) as (_, client), receiving(status(410)) as receiver:
        delivery = await settled(client, await end_batch(client, receiver.url))
    assert (state_of(delivery), delivery.attempt_count) == ("FAILED", 1)
    assert len(receiver.received) == 1


async def test_redirects_are_not_followed(redis_url: str) -> None:
    """A 301 is a failure, and where it leads nobody is asked."""
    async with (
        telling(redis_url, webhook_retry_seconds=()) as (_, client),
        receiving() as inside,
        receiving(status(301, location=inside.url)) as receiver,
    ):
        delivery = await settled(client, await end_batch(client, receiver.url))
    assert delivery.last_error == "The receiver answered 301; redirects are not followed."
    assert inside.received == []


@pytest.mark.parametrize(
    "reply",
    [
        never,
        endless("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        endless("HTTP/1.1 200 OK\r\nx: ", "y" * 1024),
    ],
    ids=["silence", "headers", "header"],
)
async def test_a_receiver_that_does_not_come_to_an_end_is_left(redis_url: str, reply: Any) -> None:
    """Silence and endless headers fail within the receiver's time, with bounded memory."""
    async with (
        telling(redis_url, webhook_retry_seconds=(), webhook_timeout_seconds=0.3) as (_, client),
        receiving(reply) as receiver,
    ):
        delivery = await settled(client, await end_batch(client, receiver.url))
    assert (state_of(delivery), delivery.last_http_status) == ("FAILED", 0)
    assert delivery.last_error.endswith(".")


async def test_a_huge_reply_is_not_read(redis_url: str) -> None:
    """Of an answer only the status counts: an endless body after 200 is a delivery."""
    reply = endless("HTTP/1.1 200 OK\r\n\r\n", "x" * 65536)
    async with telling(redis_url) as (_, client), receiving(reply) as receiver:
        delivery = await settled(client, await end_batch(client, receiver.url))
    assert (state_of(delivery), delivery.attempt_count) == ("DELIVERED", 1)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:1024/", "The address cannot be reached."),
        ("http://☃.test/", "The address is not valid."),
    ],
)
async def test_an_address_that_leads_nowhere_is_named(redis_url: str, url: str, error: str) -> None:
    """A closed port and a name that cannot be are failures with a sentence each."""
    async with telling(redis_url, webhook_retry_seconds=()) as (_, client):
        delivery = await settled(client, await end_batch(client, url))
    assert (state_of(delivery), delivery.last_error) == ("FAILED", error)


async def test_a_certificate_that_nobody_signed_is_refused(redis_url: str) -> None:
    """A receiver whose certificate is its own gets no message."""
    async with (
        telling(redis_url, webhook_retry_seconds=()) as (_, client),
        receiving(certificate=SELF_SIGNED) as receiver,
    ):
        delivery = await settled(client, await end_batch(client, receiver.url))
    assert delivery.last_error.startswith("No TLS connection could be made")
    assert receiver.received == []


async def test_tls_holds_the_receiver_to_its_name(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter dials an address; certificate and Host are still those of the name."""
    authority = Authority(tmp_path)
    authority.issue("receiver", "localhost")
    chain = tmp_path / "chain.pem"
    parts = (tmp_path / "receiver.pem", tmp_path / "receiver.key")
    chain.write_bytes(b"".join(part.read_bytes() for part in parts))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    async with (
        telling(redis_url, webhook_retry_seconds=(), egress_allow=("127.0.0.1:*", "[::1]:*")) as (
            _,
            client,
        ),
        receiving(certificate=chain) as receiver,
    ):
        named = receiver.url.replace("127.0.0.1", "localhost")
        told = await settled(client, await end_batch(client, named))
        refused = await settled(client, await end_batch(client, receiver.url))
    assert (state_of(told), state_of(refused)) == ("DELIVERED", "FAILED")
    assert refused.last_error.startswith("No TLS connection could be made")
    assert [received.headers["host"] for received in receiver.received] == [urlsplit(named).netloc]


@pytest.mark.parametrize("allow", [(), ("10.0.0.0/8:*",)])
async def test_a_receiver_inside_is_not_told(redis_url: str, allow: tuple[str, ...]) -> None:
    """An address on loopback that the operator has not opened is not dialled."""
    async with (
        telling(redis_url, webhook_retry_seconds=(), egress_allow=allow) as (_, client),
        receiving() as receiver,
    ):
        delivery = await settled(client, await end_batch(client, receiver.url))
    assert receiver.received == []
    assert delivery.last_error.startswith("The address does not lead to the internet")


async def test_a_batch_without_a_webhook_tells_nobody(redis_url: str) -> None:
    """Nothing is written and nothing is listed for a batch that asked for no webhook."""
    async with telling(redis_url) as (_, client):
        batch_id = await end_batch(client, "")
        assert await client.deliveries(batch_id) == []


async def test_only_https_may_be_told_unless_allowed(redis_url: str) -> None:
    """By default an http address is refused when the batch is made."""
    async with running_gateway(redis_url) as gateway, Client(gateway.address, KEY) as client:
        with pytest.raises(InvalidRequest) as refused:
            await end_batch(client, "http://example.com/told")
    assert [bad.field for bad in refused.value.violations] == ["options.notify_webhook"]


async def test_what_nobody_has_is_not_found(redis_url: str) -> None:
    """An unknown batch and an unknown message are NOT_FOUND."""
    async with telling(redis_url) as (_, client):
        with pytest.raises(NotFound):
            await client.deliveries("batch_0")
        with pytest.raises(NotFound):
            await client.redeliver("msg_0_1")


async def test_messages_survive_a_restart(redis_url: str) -> None:
    """What one gateway could not deliver the next one does."""
    async with receiving(status(500), status(200)) as receiver:
        async with telling(redis_url, webhook_retry_seconds=(0.5,)) as (_, client):
            batch_id = await end_batch(client, receiver.url)
            await wait_until(lambda: receiver.received)
        async with telling(redis_url) as (_, client):
            delivery = await settled(client, batch_id)
    assert (state_of(delivery), len(receiver.received)) == ("DELIVERED", 2)
    assert ids(receiver) == {delivery.webhook_id}


async def test_two_gateways_send_each_message_once(redis_url: str) -> None:
    """Of two gateways over one Redis one takes each message."""
    async with (
        receiving() as receiver,
        telling(redis_url) as (_, client),
        telling(redis_url),
    ):
        batch_ids = [await end_batch(client, receiver.url) for _ in range(20)]
        for batch_id in batch_ids:
            await settled(client, batch_id)
    sent = Counter(received.webhook_id for received in receiver.received)
    assert (len(sent), set(sent.values())) == (20, {1})


async def test_both_secrets_sign_while_they_change(redis_url: str) -> None:
    """After a rotation a message verifies with the old secret and with the new one."""
    async with telling(redis_url) as (_, client), receiving() as receiver:
        old = await client.rotate_webhook_secret()
        new = await client.rotate_webhook_secret()
        await settled(client, await end_batch(client, receiver.url))
    [received] = receiver.received
    assert received.verified(old.secret) == received.verified(new.secret)
    assert not old.HasField("old_secret_expire_time")
    assert new.HasField("old_secret_expire_time")


async def test_a_message_can_be_sent_again(redis_url: str) -> None:
    """RedeliverWebhook sends a message that was given up, under the id it had."""
    async with telling(redis_url) as (_, client), receiving(status(410), status(200)) as receiver:
        batch_id = await end_batch(client, receiver.url)
        failed = await settled(client, batch_id)
        again = await client.redeliver(failed.webhook_id)
        delivered = await settled(client, batch_id)
    assert (state_of(failed), state_of(again)) == ("FAILED", "PENDING")
    assert (state_of(delivered), delivered.attempt_count) == ("DELIVERED", 2)
    assert ids(receiver) == {failed.webhook_id}


async def test_a_deleted_batch_is_told_no_more(redis_url: str) -> None:
    """Deleting a batch deletes its messages, those that wait for another attempt too."""
    async with (
        telling(redis_url, webhook_retry_seconds=(0.5,)) as (gateway, client),
        receiving(status(500)) as receiver,
    ):
        batch_id = await end_batch(client, receiver.url)
        await wait_until(lambda: failed_once(client, batch_id))
        request = DeleteBatchRequest(batch_id=batch_id)
        await gateway.stub.DeleteBatch(request, metadata=METADATA)
        with pytest.raises(NotFound):
            await client.deliveries(batch_id)
        later = await settled(client, await end_batch(client, receiver.url))
    sent = Counter(received.webhook_id for received in receiver.received)
    assert (later.attempt_count, sorted(sent.values())) == (2, [1, 2])


async def test_every_round_is_told_under_its_own_id(redis_url: str) -> None:
    """A retried batch is told again, and a late message of the first round tells of the first."""
    async with (
        running(ScriptedTranscriber(fails_once)) as transcriber,
        telling(redis_url, transcribers=[transcriber.address]) as (gateway, client),
        receiving() as receiver,
    ):
        options = BatchOptions(notify_webhook=receiver.url)
        batch = await client.create_batch([VIDEO], options=options)
        first = await settled(client, batch.batch_id)
        await gateway.stub.RetryBatch(RetryBatchRequest(batch_id=batch.batch_id), metadata=METADATA)
        await gateway.ended(batch.batch_id)
        second = await settled(client, batch.batch_id)
        await client.redeliver(first.webhook_id)
        await wait_until(lambda: len(receiver.received) == 3)
        listed = await client.deliveries(batch.batch_id)
    told = [json.loads(received.body)["type"] for received in receiver.received]
    assert told == ["batch.failed", "batch.completed", "batch.failed"]
    assert [delivery.webhook_id for delivery in listed] == [second.webhook_id, first.webhook_id]
    assert second.webhook_id == first.webhook_id.removesuffix("_1") + "_2"


async def test_a_receiver_that_hangs_holds_up_nobody_else(redis_url: str) -> None:
    """With many messages to a receiver that hangs, another one is told at once."""
    async with (
        telling(redis_url) as (_, client),
        receiving(never) as hanging,
        receiving() as other,
    ):
        for _ in range(12):
            await end_batch(client, hanging.url)
        await settled(client, await end_batch(client, other.url))
        assert len(hanging.received) == 2
    assert len(other.received) == 1


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (200, "The webhook has been delivered."),
        (410, "The webhook has failed for good. The receiver answered 410."),
        (500, "The webhook has not been delivered. The receiver answered 500."),
    ],
)
async def test_the_command_says_what_came_of_the_first_attempt(
    redis_url: str, capsys: pytest.CaptureFixture[str], code: int, told: str
) -> None:
    """`batchscribe transcribe --notify-webhook` ends with a sentence on the webhook."""
    async with (
        telling(redis_url, webhook_retry_seconds=(60.0,)) as (_, client),
        receiving(status(code)) as receiver,
    ):
        batch_id = await end_batch(client, receiver.url)
        await say_first_attempts(client, [batch_id], Console(stderr=True))
    assert capsys.readouterr().err.startswith(told)
