"""Going back over a major version, as docs/operations.md says that it ends."""

import asyncio
import os
import sys

import redis

from gateway.store import keys


async def test_a_gateway_refuses_data_of_a_newer_version(redis_url: str) -> None:
    """It ends at its start with what to do, in a sentence, and leaves the data alone."""
    with redis.Redis.from_url(redis_url) as client:
        client.set(keys.key("schema"), 2)
        environment = os.environ | {
            "GATEWAY_REDIS_URL": redis_url,
            "GATEWAY_LISTEN": "127.0.0.1:0",
            "GATEWAY_HTTP_LISTEN": "",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway"),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
        assert process.returncode == 1
        assert b"restore a backup" in errors
        assert b"Traceback" not in errors
        assert client.keys() == [keys.key("schema").encode()]
