"""Whether this gateway can do its work: Redis is there, and holds data that it understands."""

import asyncio

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.store import check_schema, durability_gaps
from servicekit.serve import Health

log = structlog.get_logger()

CHECK_SECONDS = 1.0


class Readiness:
    """Keeps ``grpc.health.v1`` true to the state of Redis."""

    def __init__(self, redis: Redis, health: Health) -> None:
        self._redis = redis
        self._health = health
        self._is_serving: bool | None = None
        self._is_checked = False

    async def run(self) -> None:
        """Check every second, for ever. Raises SchemaTooNew, which ends the gateway."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_SECONDS)

    async def check(self) -> None:
        """Check once. Raises SchemaTooNew."""
        await self._say(await self._reaches_redis())

    async def _reaches_redis(self) -> bool:
        try:
            if not self._is_checked:
                await check_schema(self._redis)
                await self._warn_of_gaps()
                self._is_checked = True
            await self._redis.ping()
        except RedisError:
            return False
        return True

    async def _say(self, is_serving: bool) -> None:
        if is_serving != self._is_serving:
            await self._health.set_serving(is_serving)
            self._is_serving = is_serving

    async def _warn_of_gaps(self) -> None:
        """Say at start what this Redis would lose that was promised."""
        try:
            gaps = await durability_gaps(self._redis)
        except RedisError as error:
            gaps = [f"its durability cannot be checked: {error}"]
        for gap in gaps:
            log.warning("this Redis may lose what was promised", gap=gap)
