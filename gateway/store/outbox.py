"""Webhook messages in Redis: which are due, how sending them went, and what signs them.

A message is written by the transition that ends a batch and keeps its id whatever happens. The
right to send it is a lease with an epoch, as for items: that of a gateway that died runs out.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from batchscribe.v1.webhook_service_pb2 import Delivery, DeliveryState
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.errors import NotFound, StoreUnavailable
from gateway.secret_box import SecretBox
from gateway.store import keys, reading
from gateway.store.scripts import Scripts


@dataclass(frozen=True)
class Message:
    """The right to send one message until it runs out, and what the message tells.

    ``revision`` is the one that ended the batch's round, ``tries`` counts this attempt too and
    starts again with RedeliverWebhook. ``receiver`` is the user with the host of ``url``, ``trace``
    the traceparent of the call that made the batch.
    """

    member: str
    epoch: int
    batch_id: str
    revision: int
    url: str
    tries: int
    receiver: str
    trace: str

    @property
    def user(self) -> str:
        return self.member.partition("/")[0]

    @property
    def webhook_id(self) -> str:
        return self.member.partition("/")[2]


@dataclass(frozen=True)
class SendResult:
    """What an attempt makes of a message; one that stays PENDING is due after ``delay_ms``.

    ``http_status`` is 0 if there was no answer, ``error`` is empty if there is nothing to say.
    """

    state: DeliveryState.ValueType
    http_status: int
    error: str
    delay_ms: int = 0


class Outbox:
    """Reads and transitions of webhook messages. Every method may raise StoreUnavailable."""

    def __init__(self, redis: Redis, box: SecretBox | None = None) -> None:
        """``box`` seals what signs webhooks; by default it is stored as it is."""
        self._redis = redis
        self._scripts = Scripts(redis)
        self._box = box or SecretBox()

    async def claim(
        self, count: int, lease_ms: int, receivers: Collection[str] = ()
    ) -> list[Message]:
        """Lease up to ``count`` messages that are due.

        ``receivers`` names those the caller is sending to already, once for each message: nobody
        takes more than a few places.
        """
        rows = await self._scripts.run("outbox", count, lease_ms, *receivers)
        return [_message_from(*row) for row in rows]

    async def record(self, message: Message, result: SendResult) -> bool:
        """Store how an attempt went; False if the lease is stale or the batch is gone."""
        answer = await self._scripts.run(
            "sent",
            message.member,
            message.epoch,
            int(result.state),
            result.http_status,
            result.error,
            result.delay_ms,
        )
        return bool(answer == b"OK")

    async def deliveries(self, user: str, batch_id: str) -> list[Delivery]:
        """Return the messages of a batch, newest first. Raises NotFound."""
        found = await self._scripts.run("deliveries", user, batch_id)
        if found is None:
            raise NotFound("batch", batch_id)
        return [_delivery_from(reading.pairs(flat)) for flat in found]

    async def redeliver(self, user: str, webhook_id: str) -> Delivery:
        """Make a message due now, whatever became of it. Raises NotFound."""
        found = await self._scripts.run("resend", user, webhook_id)
        if found is None:
            raise NotFound("delivery", webhook_id)
        return _delivery_from(reading.pairs(found))

    async def secrets(self, user: str, spare: str) -> list[str]:
        """Return what signs a user's messages, newest first; ``spare`` becomes the first of all.

        Raises SealedForOthers.
        """
        found = await self._scripts.run("secrets", user, self._box.seal(spare))
        return [self._box.open(secret.decode()) for secret in found]

    async def rotate(self, user: str, secret: str, keep_ms: int) -> int | None:
        """Make ``secret`` the newest; return until when the one before it signs too, in ms.

        None if there was none. Safe to repeat: every secret before goes on for ``keep_ms``.
        """
        sealed = self._box.seal(secret)
        return int(await self._scripts.run("rotate", user, sealed, keep_ms)) or None

    async def stored_secrets(self) -> list[tuple[str, str]]:
        """Return every user with each of their secrets, as they are stored."""
        before, after = keys.key("secrets", "*").split("*")
        found: list[tuple[str, str]] = []
        try:
            async for name in self._redis.scan_iter(match=f"{before}*{after}"):
                user = name.decode().removeprefix(before).removesuffix(after)
                stored: Any = await self._redis.zrange(name, 0, -1)
                found.extend((user, secret.decode()) for secret in stored)
        except RedisError as error:
            raise StoreUnavailable from error
        return found

    async def reseal(self, user: str, old: str, new: str) -> bool:
        """Put a secret sealed anew in place of the old one; False if that is gone."""
        return bool(await self._scripts.run("reseal", user, old, new) == b"OK")


def _message_from(
    member: bytes,
    epoch: int,
    batch_id: bytes,
    revision: int,
    url: bytes,
    tries: int,
    receiver: bytes,
    trace: bytes,
) -> Message:
    return Message(
        member.decode(),
        epoch,
        batch_id.decode(),
        revision,
        url.decode(),
        tries,
        receiver.decode(),
        trace.decode(),
    )


def _delivery_from(fields: reading.Hash) -> Delivery:
    delivery = Delivery(
        webhook_id=fields[b"id"].decode(),
        batch_id=fields[b"batch"].decode(),
        url=fields[b"url"].decode(),
        state=DeliveryState.ValueType(int(fields[b"state"])),
        attempt_count=int(fields[b"attempts"]),
        last_http_status=int(fields.get(b"http_status", 0)),
        last_error=fields.get(b"error", b"").decode(),
    )
    delivery.create_time.FromMilliseconds(int(fields[b"created_ms"]))
    if delivery.state == DeliveryState.DELIVERY_STATE_PENDING:
        delivery.next_attempt_time.FromMilliseconds(int(fields[b"next_ms"]))
    if b"last_ms" in fields:
        delivery.last_attempt_time.FromMilliseconds(int(fields[b"last_ms"]))
    return delivery
