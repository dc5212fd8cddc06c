"""What the command shows of webhook messages."""

import json

import pytest
from batchscribe.cli.webhooks import show_deliveries
from batchscribe.client import Delivery
from batchscribe.v1.webhook_service_pb2 import DELIVERY_STATE_DELIVERED, DELIVERY_STATE_PENDING
from rich.console import Console

WAITING = Delivery(
    webhook_id="msg_1_1",
    state=DELIVERY_STATE_PENDING,
    attempt_count=2,
    last_http_status=503,
    last_error="The receiver answered 503.\x1b[31m",
)
WAITING.next_attempt_time.FromJsonString("2026-11-22T08:30:00Z")
TAKEN = Delivery(
    webhook_id="msg_1_2", state=DELIVERY_STATE_DELIVERED, attempt_count=1, last_http_status=200
)


def test_messages_are_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """Each message has its state, its tries and what came last, with nothing a terminal obeys."""
    show_deliveries([TAKEN, WAITING], Console(width=100), json_lines=False)
    _, taken, waiting = capsys.readouterr().out.splitlines()
    assert taken.split() == ["msg_1_2", "delivered", "1", "200"]
    assert waiting.split()[:5] == ["msg_1_1", "pending", "2", "2026-11-22", "08:30:00"]
    assert waiting.rstrip().endswith("The receiver answered 503.[31m")


def test_no_message_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list is a sentence for people and nothing for programs."""
    show_deliveries([], Console(width=100), json_lines=False)
    assert "No message" in capsys.readouterr().out
    show_deliveries([], Console(width=100), json_lines=True)
    assert capsys.readouterr().out == ""


def test_messages_are_lines_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """For programs each message is one line, by the contract's names."""
    show_deliveries([TAKEN], Console(width=100), json_lines=True)
    assert json.loads(capsys.readouterr().out)["webhook_id"] == "msg_1_2"
