"""What is recorded of the way of an item and of a webhook.

All spans hang below the call that made the batch, by the traceparent stored with it: so one trace
goes on when a gateway dies and another takes over.
"""

import time
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import TypeVar

import grpc
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeResponse
from batchscribe.v1.webhook_service_pb2 import DeliveryState
from opentelemetry.trace import Span, SpanKind, StatusCode

from gateway.metrics import Metrics
from gateway.store import Message, SendResult
from gateway.work import Answer, Work
from servicekit.status import reason_of
from servicekit.telemetry import SILENT, Telemetry

SERVICE = contract.DESCRIPTOR.services_by_name["TranscriberService"].full_name

WEBHOOK_OUTCOMES = {
    DeliveryState.DELIVERY_STATE_DELIVERED: "delivered",
    DeliveryState.DELIVERY_STATE_PENDING: "retry",
    DeliveryState.DELIVERY_STATE_FAILED: "failed",
}

R = TypeVar("R")


class Observer:
    """Records what the dispatcher and the sender of webhooks do."""

    def __init__(self, telemetry: Telemetry, metrics: Metrics) -> None:
        self._telemetry = telemetry
        self.metrics = metrics

    def attempt(self, work: Work) -> AbstractContextManager[Span]:
        """Open the span of a lease: from its claim until its end is stored."""
        lease = work.lease
        attributes: dict[str, str | int] = {
            "batchscribe.batch_id": lease.batch_id,
            "batchscribe.item_id": lease.item_id,
            "batchscribe.epoch": lease.epoch,
            "batchscribe.attempts": lease.attempts,
            "batchscribe.transcriber": work.transcriber.address,
        }
        return self._telemetry.span("attempt", attributes, under=lease.trace or None)

    async def call(self, method: str, answer: Awaitable[R]) -> R:
        """Await the answer to a call of a transcriber, in a span that its server goes on with."""
        name = f"{SERVICE}/{method}"
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}
        with self._telemetry.span(name, attributes, kind=SpanKind.CLIENT) as span:
            outcome = await answer
            code = grpc.StatusCode.OK
            if isinstance(outcome, grpc.aio.AioRpcError):
                code = outcome.code()
                span.set_status(StatusCode.ERROR)
            span.set_attribute("rpc.response.status_code", code.name)
        return outcome

    def settling(self, work: Work, answer: Answer) -> AbstractContextManager[Span]:
        """Note how an attempt has ended, and open the span of storing that."""
        outcome = _outcome(answer)
        self.metrics.attempt_ended(time.monotonic() - work.begun, outcome)
        if isinstance(answer, TranscribeResponse) and answer.HasField("transcript"):
            self.metrics.transcribed(answer.transcript)
        return self._telemetry.span("settle", {"batchscribe.outcome": outcome})

    def webhook(self, message: Message) -> AbstractContextManager[Span]:
        """Open the span of an attempt to deliver a message."""
        attributes: dict[str, str | int] = {
            "batchscribe.batch_id": message.batch_id,
            "batchscribe.webhook_id": message.webhook_id,
            "batchscribe.tries": message.tries,
        }
        return self._telemetry.span(
            "webhook", attributes, under=message.trace or None, kind=SpanKind.PRODUCER
        )

    def webhook_answered(self, result: SendResult) -> None:
        """Note what the receiver's answer makes of the message."""
        self.metrics.webhook_tried(WEBHOOK_OUTCOMES[result.state])


def _outcome(answer: Answer) -> str:
    if isinstance(answer, grpc.aio.AioRpcError):
        return reason_of(answer) or answer.code().name
    return answer.error.reason or "OK"


# Records nothing.
BLIND = Observer(SILENT, Metrics(SILENT.meter))
