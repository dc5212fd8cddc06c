"""Tells receivers that a batch has ended: claim, send, record.

At least once, under an id that never changes: an attempt that is not on record, because this
gateway or Redis went away, is made again by whoever claims the message next.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from batchscribe.v1.batch_pb2 import Batch
from batchscribe.v1.webhook_service_pb2 import DeliveryState

from gateway.errors import NotFound, StoreUnavailable
from gateway.live import LiveProgress
from gateway.observer import BLIND, Observer
from gateway.progress import ProgressMeter
from gateway.secret_box import SealedForOthers
from gateway.store import BatchStore, Message, Outbox, SendResult
from gateway.webhook_message import body_of, headers_of, new_secret
from gateway.webhook_post import Answer, WebhookClient
from servicekit import tasks
from servicekit.egress import Egress

log = structlog.get_logger()

PLACES = 8
POLL_SECONDS = 0.25
STORE_RETRY_SECONDS = 2.0

_GONE = 410
_OVERLOADED = frozenset({429, 502, 504})


@dataclass(frozen=True)
class SendPolicy:
    """The receiver's time to answer, and the waits between the attempts at one message.

    An attempt that is not on record after ``lease_seconds`` is made again.
    """

    timeout_seconds: float
    lease_seconds: float
    retry_seconds: Sequence[float]
    allow_http: bool = False

    def result(self, tries: int, answer: Answer) -> SendResult:
        """Return what the answer to attempt number ``tries`` makes of the message."""
        state, delay_seconds = DeliveryState.DELIVERY_STATE_PENDING, 0.0
        if 200 <= answer.http_status < 300:
            state = DeliveryState.DELIVERY_STATE_DELIVERED
        elif answer.http_status == _GONE or tries > len(self.retry_seconds):
            state = DeliveryState.DELIVERY_STATE_FAILED
        else:
            delay_seconds = retry_delay(self.retry_seconds[tries - 1], answer)
        return SendResult(state, answer.http_status, answer.error, int(delay_seconds * 1000))


def retry_delay(
    base_seconds: float, answer: Answer, draw: Callable[[float, float], float] = random.uniform
) -> float:
    """Return the seconds until the next attempt: ``base_seconds`` give or take a fifth.

    A receiver that is overloaded gets twice the time, one that names a time gets it within the
    same bounds.
    """
    longest = 2 * base_seconds
    if answer.retry_after_seconds is not None:
        return min(max(answer.retry_after_seconds, base_seconds), longest)
    return longest if answer.http_status in _OVERLOADED else base_seconds * draw(0.8, 1.2)


class WebhookSender:
    """Sends what falls due, a few messages at a time, whatever single receivers do."""

    def __init__(
        self,
        store: BatchStore,
        outbox: Outbox,
        policy: SendPolicy,
        egress: Egress,
        observer: Observer = BLIND,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._egress = egress
        self._policy = policy
        self._observer = observer
        self._meter = ProgressMeter(LiveProgress())
        self._sending: dict[asyncio.Task[None], Message] = {}
        self._look = asyncio.Event()
        self._is_draining = False

    async def run(self) -> None:
        """Send for ever; what is under way when this is cancelled is left to its lease."""
        async with WebhookClient(
            self._egress, self._policy.timeout_seconds, allow_http=self._policy.allow_http
        ) as client:
            try:
                while True:
                    self._look.clear()
                    for message in await self._claim():
                        self._start(client, message)
                    await self._rest()
            finally:
                await tasks.cancel(self._sending)

    async def drain(self, grace_seconds: float) -> None:
        """Claim no more, and give what is under way ``grace_seconds`` to end."""
        self._is_draining = True
        if self._sending:
            await asyncio.wait(self._sending, timeout=grace_seconds)

    # ---- claim ---------------------------------------------------------------------------------

    async def _claim(self) -> list[Message]:
        free = PLACES - len(self._sending)
        if self._is_draining or not free:
            return []
        lease_ms = int(self._policy.lease_seconds * 1000)
        receivers = [message.receiver for message in self._sending.values()]
        try:
            return await self._outbox.claim(free, lease_ms, receivers)
        except StoreUnavailable:
            log.warning("no webhooks are sent: the store is away")
            await asyncio.sleep(STORE_RETRY_SECONDS)
            return []

    def _start(self, client: WebhookClient, message: Message) -> None:
        task = asyncio.create_task(self._send(client, message))
        self._sending[task] = message
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        message = self._sending.pop(task)
        self._look.set()
        if not task.cancelled() and (error := task.exception()):
            # One message that trips us must not keep the others from being sent.
            log.error("a bug in sending a webhook", id=message.webhook_id, exc_info=error)

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._look.wait()

    # ---- send and record -----------------------------------------------------------------------

    async def _send(self, client: WebhookClient, message: Message) -> None:
        try:
            with self._observer.webhook(message):
                await self._attempt(client, message)
        except NotFound:
            log.info("a webhook went with its batch", id=message.webhook_id)
        except SealedForOthers:
            log.error("webhooks cannot be signed: GATEWAY_ENCRYPTION_KEYS lacks a key")
        except StoreUnavailable:
            log.warning("a webhook will be sent again: the store is away", id=message.webhook_id)

    async def _attempt(self, client: WebhookClient, message: Message) -> None:
        body = await self._body(message)
        signing = await self._outbox.secrets(message.user, new_secret())
        headers = headers_of(message.webhook_id, datetime.now(UTC), body, signing)
        answer = await client.post(message.url, body, headers)
        result = self._policy.result(message.tries, answer)
        self._observer.webhook_answered(result)
        await self._outbox.record(message, result)

    async def _body(self, message: Message) -> bytes:
        """Return what is told: the batch as it was when this round of it ended."""
        stored = await self._store.batch(message.user, message.batch_id, with_items=False)
        found = await self._store.events(message.user, stored.batch, message.revision - 1, 1)
        if not found:
            raise NotFound("batch", message.batch_id)
        end = found[0]
        assert isinstance(end.change, Batch)
        return body_of(self._meter.fill(end.change, end.tally, end.at_ms))
