"""The Lua transitions as one callable table.

Each script runs after what it uses of the names of keys and fields and of the shared prelude, so no
line is copied between them.
"""

import hashlib
import re
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

# What is defined at the left margin: "local function move(" or "local SUCCEEDED, FAILED =".
_NAMES = re.compile(r"^local (?:function )?(\w+(?:, \w+)*)", re.MULTILINE)
_FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in _FOLDER.glob("*.lua")))


def _tables() -> str:
    rows = ", ".join(f"{name} = '{template}'" for name, template in keys.TEMPLATES.items())
    fields = ", ".join(f"'{field}'" for field in TALLY_FIELDS)
    return f"local KEY = {{{rows}}}\nlocal TALLY = {{{fields}}}\n"


@cache
def _definitions() -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the pieces of the prelude, each of which uses those before it, with their names."""
    parts = ((_FOLDER / "prelude" / f"{part}.lua").read_text() for part in PRELUDE)
    text = re.sub(r"--.*", "", "\n\n".join((_tables(), *parts)))
    found = re.split(r"\n\n+(?=local )", text.strip())
    return tuple(
        (definition, _words(", ".join(_NAMES.findall(definition)))) for definition in found
    )


def prelude(body: str) -> str:
    """Return the definitions that a script uses, directly or not.

    Lua makes each of them anew whenever the script runs: with all a short script takes ten times as
    long.
    """
    used: list[str] = []
    words = _words(body)
    for definition, names in reversed(_definitions()):
        if names & words:
            used.insert(0, definition)
            words |= _words(definition)
    return "\n\n".join(used)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


def source(name: str) -> str:
    """Return the whole text of the script ``name`` as the server runs it."""
    body = (_FOLDER / f"{name}.lua").read_text()
    # A line of flags counts only at the very top, before the prelude.
    flags, rest = body.split("\n", 1) if body.startswith("#!") else ("", body)
    return f"{flags}\n{prelude(rest)}\n{rest}".lstrip("\n")


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
