"""The Lua transitions as one callable table.

Each script runs after the shared prelude and the key table, so no line is copied between them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import OutOfMemoryError, RedisError

from gateway.errors import StoreFull, StoreUnavailable
from gateway.store import keys

Argument = str | int | float | bytes

NAMES = (
    "create",
    "claim",
    "stage",
    "renew",
    "finish",
    "release",
    "reap",
    "blame",
    "cancel",
    "retry",
    "delete",
    "read",
    "outbox",
    "sent",
    "resend",
    "deliveries",
    "secrets",
    "rotate",
)

_FOLDER = Path(__file__).parent


def _key_table() -> str:
    rows = ", ".join(f"{name} = '{template}'" for name, template in keys.TEMPLATES.items())
    return f"local KEY = {{{rows}}}\n"


def source(name: str) -> str:
    """Return the whole text of the script ``name`` as the server runs it."""
    body = (_FOLDER / f"{name}.lua").read_text()
    # A line of flags counts only at the very top, before the prelude.
    flags, rest = body.split("\n", 1) if body.startswith("#!") else ("", body)
    return f"{flags}\n{_key_table()}{(_FOLDER / 'prelude.lua').read_text()}\n{rest}".lstrip("\n")


class Scripts:
    """Runs transitions by name; a script the server has forgotten is sent again by itself."""

    def __init__(self, redis: Redis) -> None:
        self._scripts: Mapping[str, AsyncScript] = {
            name: redis.register_script(source(name)) for name in NAMES
        }

    async def run(self, name: str, *arguments: Argument) -> Any:
        """Run one transition. Raises StoreUnavailable (it may have run all the same), StoreFull."""
        try:
            return await self._scripts[name](keys=[keys.key("wake")], args=arguments)
        except OutOfMemoryError as error:
            raise StoreFull from error
        except RedisError as error:
            raise StoreUnavailable from error
