"""The Lua transitions as one callable table.

Each script runs after the names of keys and fields and the shared prelude, so no line is copied
between them.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError

from gateway.errors import StoreFull, StoreUnavailable
from gateway.store import keys
from gateway.store.pipeline import Argument, Pipeline
from gateway.store.tally import TALLY_FIELDS

PRELUDE = (
    "records",
    "events",
    "queues",
    "quota",
    "items",
    "results",
    "messages",
    "batches",
    "accounts",
)

_FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in _FOLDER.glob("*.lua")))


def _tables() -> str:
    rows = ", ".join(f"{name} = '{template}'" for name, template in keys.TEMPLATES.items())
    fields = ", ".join(f"'{field}'" for field in TALLY_FIELDS)
    return f"local KEY = {{{rows}}}\nlocal TALLY = {{{fields}}}\n"


@cache
def prelude() -> str:
    """Return what every script begins with; each part uses those before it."""
    parts = ((_FOLDER / "prelude" / f"{part}.lua").read_text() for part in PRELUDE)
    return "\n".join((_tables(), *parts))


def source(name: str) -> str:
    """Return the whole text of the script ``name`` as the server runs it."""
    body = (_FOLDER / f"{name}.lua").read_text()
    # A line of flags counts only at the very top, before the prelude.
    flags, rest = body.split("\n", 1) if body.startswith("#!") else ("", body)
    return f"{flags}\n{prelude()}\n{rest}".lstrip("\n")


class Scripts:
    """Runs transitions by name; a script the server has forgotten is sent again by itself."""

    def __init__(self, redis: Redis) -> None:
        self._pipeline = Pipeline(redis)
        self._sources = {name: source(name) for name in NAMES}
        self._digests = {name: _sha1(text) for name, text in self._sources.items()}

    async def run(self, name: str, *arguments: Argument) -> Any:
        """Run one transition. Raises StoreUnavailable (it may have run all the same), StoreFull."""
        try:
            return await self._evaluate(name, 1, keys.key("wake"), *arguments)
        except OutOfMemoryError as error:
            raise StoreFull from error
        except RedisError as error:
            raise StoreUnavailable from error

    async def _evaluate(self, name: str, *arguments: Argument) -> Any:
        try:
            return await self._pipeline.run("EVALSHA", self._digests[name], *arguments)
        except NoScriptError:
            return await self._pipeline.run("EVAL", self._sources[name], *arguments)


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
