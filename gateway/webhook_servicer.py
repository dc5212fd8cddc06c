"""The RPC edge of WebhookService: what became of messages, and the secret that signs them."""

from batchscribe.v1.webhook_service_pb2 import (
    ListDeliveriesRequest,
    ListDeliveriesResponse,
    RedeliverWebhookRequest,
    RedeliverWebhookResponse,
    RotateSecretRequest,
    RotateSecretResponse,
)
from batchscribe.v1.webhook_service_pb2_grpc import WebhookServiceServicer

from gateway.access import current_caller
from gateway.store import Outbox
from gateway.webhook_message import new_secret
from servicekit.status import Context

OLD_SECRET_MS = 24 * 3600 * 1000


class WebhookServicer(WebhookServiceServicer):
    """One method for each RPC; the contract is in webhook_service.proto."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def ListDeliveries(
        self, request: ListDeliveriesRequest, context: Context
    ) -> ListDeliveriesResponse:
        deliveries = await self._outbox.deliveries(current_caller.get().user, request.batch_id)
        return ListDeliveriesResponse(deliveries=deliveries)

    async def RedeliverWebhook(
        self, request: RedeliverWebhookRequest, context: Context
    ) -> RedeliverWebhookResponse:
        delivery = await self._outbox.redeliver(current_caller.get().user, request.webhook_id)
        return RedeliverWebhookResponse(delivery=delivery)

    async def RotateSecret(
        self, request: RotateSecretRequest, context: Context
    ) -> RotateSecretResponse:
        secret = new_secret()
        old_until_ms = await self._outbox.rotate(current_caller.get().user, secret, OLD_SECRET_MS)
        response = RotateSecretResponse(secret=secret)
        if old_until_ms:
            response.old_secret_expire_time.FromMilliseconds(old_until_ms)
        return response
