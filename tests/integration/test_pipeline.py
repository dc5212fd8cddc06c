"""Commands that go out together, against a real Valkey."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.store import connect
from gateway.store.pipeline import Pipeline
from tests.support import wait_until
from tests.valkey import Valkey


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    client = connect(redis_url)
    yield client
    await client.aclose()


async def _reads(redis: Redis) -> int:
    info = await redis.info("stats")
    return int(info["total_reads_processed"])


async def test_commands_asked_for_together_go_out_together(redis: Redis) -> None:
    """A hundred commands reach the server in a few reads, and each gets its own reply."""
    pipeline = Pipeline(redis)
    before = await _reads(redis)
    replies = await asyncio.gather(*(pipeline.run("ECHO", f"{n}") for n in range(100)))
    assert replies == [f"{n}".encode() for n in range(100)]
    assert await _reads(redis) - before < 10


async def test_order_is_kept(redis: Redis) -> None:
    """Commands asked for together run in the order in which they were asked for."""
    pipeline = Pipeline(redis)
    await asyncio.gather(*(pipeline.run("RPUSH", "list", n) for n in range(50)))
    assert await pipeline.run("LRANGE", "list", 0, -1) == [f"{n}".encode() for n in range(50)]


async def test_a_group_goes_out_while_another_is_under_way(redis: Redis) -> None:
    """Who comes later need not wait for the replies to those before."""
    pipeline = Pipeline(redis)
    popped = asyncio.create_task(pipeline.run("BLPOP", "list", 10))

    async def is_blocked() -> bool:
        return bool((await redis.info("clients"))["blocked_clients"])

    await wait_until(is_blocked)
    await pipeline.run("RPUSH", "list", "here")
    assert await popped == [b"list", b"here"]


async def test_a_refused_command_fails_alone(redis: Redis) -> None:
    """An error reply is raised to who asked; the commands beside it have their replies."""
    pipeline = Pipeline(redis)
    asked = (pipeline.run("NO-SUCH-COMMAND"), pipeline.run("ECHO", "here"))
    replies = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(replies[0], ResponseError)
    assert replies[1] == b"here"


async def test_who_leaves_takes_nobody_along(redis: Redis) -> None:
    """A caller that is cancelled while it waits leaves the others' replies in place."""
    pipeline = Pipeline(redis)
    leaver = asyncio.create_task(pipeline.run("ECHO", "gone"))
    stayer = asyncio.create_task(pipeline.run("ECHO", "here"))
    await asyncio.sleep(0)
    leaver.cancel()
    assert await stayer == b"here"
    assert leaver.cancelled()


async def test_a_lost_server_fails_all_that_wait_and_none_that_come_later(
    valkey: Valkey, redis: Redis
) -> None:
    """While the server is away every command raises; when it is back they work again."""
    pipeline = Pipeline(redis)
    await pipeline.run("PING")
    valkey.kill()
    failures = await asyncio.gather(
        *(pipeline.run("PING") for _ in range(3)), return_exceptions=True
    )
    valkey.start()
    assert all(isinstance(failure, RedisConnectionError) for failure in failures)
    assert await pipeline.run("ECHO", "back") == b"back"


async def test_silence_ends_a_group_and_its_connection(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for a reply too long is told so, and nobody later gets the reply instead."""
    monkeypatch.setattr("gateway.store.connection.REPLY_SECONDS", 0.2)
    client = connect(redis_url)
    pipeline = Pipeline(client)
    with pytest.raises(RedisTimeoutError):
        await pipeline.run("BLPOP", "list", 0)
    await pipeline.run("RPUSH", "list", "here")
    assert await pipeline.run("ECHO", "later") == b"later"
    await client.aclose()
