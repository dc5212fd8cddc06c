"""Webhooks whose receivers are not on the internet, through a real gateway."""

import asyncio
from collections.abc import Sequence

from batchscribe.client import Client, Delivery
from batchscribe.client.errors import InvalidRequest
from batchscribe.v1.batch_pb2 import BatchOptions
from batchscribe.v1.webhook_service_pb2 import DeliveryState

from tests.abuse.names import PUBLIC
from tests.support import wait_until

TELLING = f"http://{PUBLIC}/told"

_VIDEO = f"http://{PUBLIC}/ok.mp3"
_PLACES = 16


async def tell_all(client: Client, urls: Sequence[str]) -> list[Delivery | None]:
    """Have each address told of a batch's end; None for those that no batch may name."""
    places = asyncio.Semaphore(_PLACES)

    async def tell(url: str) -> Delivery | None:
        async with places:
            return await _tell(client, url)

    return await asyncio.gather(*map(tell, urls))


async def _tell(client: Client, url: str) -> Delivery | None:
    try:
        batch = await client.create_batch([_VIDEO], options=BatchOptions(notify_webhook=url))
    except InvalidRequest:
        return None
    await client.cancel(batch.batch_id)
    return await settled(client, batch.batch_id)


async def settled(client: Client, batch_id: str) -> Delivery:
    """Return the delivery of a batch once nothing more will come of it."""

    async def look() -> Delivery | None:
        (delivery,) = await client.deliveries(batch_id)
        return delivery if delivery.state != DeliveryState.DELIVERY_STATE_PENDING else None

    return await wait_until(look, timeout_seconds=60)
