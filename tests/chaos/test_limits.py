"""Rates and quotas over three gateways, one of which is killed while they are asked."""

import asyncio
import json
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path

import pytest
from batchscribe.client import Client, errors

from gateway.store import Allowance, BatchStore, Ledger, connect
from tests.chaos.load import insist
from tests.chaos.orders import API_USER
from tests.chaos.services import GatewayService, RedisService, gateway_environment
from tests.running_gateway import KEY

ASKED, ALLOWED, AT_ONCE = 60, 25, 6


class Crowd:
    """Users of one account who want a batch each, and take a refusal as an answer."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.made: set[str] = set()
        self.refused = 0
        self.is_half_done = asyncio.Event()
        self._next_client = cycle(clients)
        self._door = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as users:
            for _ in range(ASKED):
                users.create_task(self._ask())

    async def _ask(self) -> None:
        request_id = str(uuid.uuid4())

        async def create() -> str:
            client = next(self._next_client)
            batch = await client.create_batch(["http://media.test/1"], request_id=request_id)
            return batch.batch_id

        async with self._door:
            try:
                self.made.add(await insist(create))
            except errors.ResourceExhausted:
                self.refused += 1
        if len(self.made) > ALLOWED // 2:
            self.is_half_done.set()


@pytest.mark.parametrize("limit", ["batches_per_minute", "monthly_videos"])
async def test_limits_hold_though_gateways_die(limit: str) -> None:
    """Whoever is killed before or after it answered: exactly as many batches as allowed exist."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        redis = RedisService(folder)
        tiers = {"GATEWAY_TIERS": json.dumps({"unlimited": {limit: ALLOWED}})}
        environment = gateway_environment(redis.url, []) | tiers
        gateways = [
            GatewayService(f"gateway-{n}", folder, ["gateway"], environment) for n in range(3)
        ]
        for service in (redis, *gateways):
            stack.push_async_callback(service.kill)
            await service.start()
        clients = [
            await stack.enter_async_context(Client(gateway.address, KEY)) for gateway in gateways
        ]
        crowd = Crowd(clients)
        asking = asyncio.create_task(crowd.run())
        await crowd.is_half_done.wait()
        await gateways[0].kill()
        await gateways[0].start()
        await asking
        stored, reserved = await booked(redis.url)
    assert stored == crowd.made
    assert (len(crowd.made), crowd.refused) == (ALLOWED, ASKED - ALLOWED)
    assert reserved == ALLOWED


async def booked(redis_url: str) -> tuple[set[str], int]:
    """Return the ids of all batches in Redis, and how many videos are reserved for them."""
    redis = connect(redis_url)
    stored = await BatchStore(redis).batch_ids(API_USER, None, ASKED)
    usage = (await Ledger(redis).standing(API_USER, Allowance())).usage
    await redis.aclose()
    return {batch_id for _, batch_id in stored}, usage.reserved
