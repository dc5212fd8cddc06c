"""When a webhook is sent again, what it says and how it is signed."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from batchscribe.v1 import batch_pb2
from batchscribe.v1.batch_pb2 import Batch, BatchItem, BatchProgress
from batchscribe.v1.webhook_service_pb2 import DeliveryState
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.webhook_message import body_of, headers_of, new_secret
from gateway.webhook_post import Answer, seconds_until
from gateway.webhooks import SendPolicy, retry_delay

POLICY = SendPolicy(15, lease_seconds=30, retry_seconds=(5, 300))


def most(_: float, high: float) -> float:
    return high


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(500), 120),
        (Answer(0, "No."), 120),
        (Answer(429), 200),
        (Answer(502), 200),
        (Answer(504), 200),
        (Answer(503, retry_after_seconds=150), 150),
        (Answer(503, retry_after_seconds=1), 100),
        (Answer(429, retry_after_seconds=86_400), 200),
    ],
)
def test_a_receiver_may_ask_for_up_to_twice_the_time(answer: Answer, seconds: float) -> None:
    """Waits vary by a fifth; who is overloaded or names a time gets one to two times the wait."""
    assert retry_delay(100, answer, most) == seconds


@pytest.mark.parametrize(
    ("tries", "status", "state"),
    [
        (1, 200, "DELIVERED"),
        (1, 299, "DELIVERED"),
        (3, 204, "DELIVERED"),
        (1, 0, "PENDING"),
        (1, 301, "PENDING"),
        (1, 404, "PENDING"),
        (2, 500, "PENDING"),
        (3, 500, "FAILED"),
        (4, 500, "FAILED"),
        (1, 410, "FAILED"),
    ],
)
def test_what_an_answer_makes_of_a_message(tries: int, status: int, state: str) -> None:
    """2xx delivers, 410 and the last attempt fail, anything else waits."""
    result = POLICY.result(tries, Answer(status))
    assert DeliveryState.Name(result.state) == f"DELIVERY_STATE_{state}"
    assert (result.delay_ms > 0) == (state == "PENDING")


def test_retry_after_is_seconds_or_a_date() -> None:
    """Both forms are read; anything else is no wish."""
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    date = format_datetime(now + timedelta(minutes=2), usegmt=True)
    assert seconds_until("90", now) == 90
    assert seconds_until(date, now) == 120
    assert [seconds_until(text, now) for text in ("", "soon", "-1", "²")] == [None] * 4


def test_a_signature_of_each_secret_verifies() -> None:
    """Who holds either of two secrets can verify the message, and nobody else."""
    secrets, body = [new_secret(), new_secret()], b'{"title":"\xc3\xa9"}'
    headers = dict(headers_of("msg_1_1", datetime.now(UTC), body, secrets))
    for secret in secrets:
        assert Webhook(secret).verify(body, headers) == {"title": "é"}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers)


def test_the_body_names_the_end_and_no_videos() -> None:
    """Type and data follow the batch's state; of its items nothing is told."""
    batch = Batch(
        batch_id="batch_1",
        state=batch_pb2.BATCH_STATE_PARTIALLY_SUCCEEDED,
        progress=BatchProgress(total=500, succeeded=499, failed=1),
        items=[BatchItem(index=index, url="https://e.com") for index in range(500)],
    )
    batch.end_time.FromJsonString("2025-10-21T15:27:15Z")
    body = body_of(batch)
    told = json.loads(body)
    assert told["type"] == "batch.partially_failed"
    assert told["timestamp"] == "2025-10-21T15:27:15Z"
    assert "results" not in told["data"]
    assert len(body) < 1000
