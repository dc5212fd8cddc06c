"""Users and their API keys in Redis. Of a key only the SHA-256 of its secret is stored."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from redis.asyncio import Redis

from gateway.store import keys, reading
from gateway.store.pipeline import Commands
from gateway.store.scripts import Scripts

# How much of the record of what operators did is kept, about.
MOST_AUDITED = 10_000


class KeyState(StrEnum):
    """Whether a key opens anything; the verdicts of identify.lua."""

    OK = "OK"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


@dataclass(frozen=True)
class Identity:
    """Whose a key is; ``digest`` is of its secret, ``left_ms`` 0 if it never expires."""

    state: KeyState
    digest: bytes
    user: str
    tier: str
    role: str
    left_ms: int


@dataclass(frozen=True)
class NewKey:
    """A key to store, under an id that nobody else has; ``ttl_ms`` 0 is for ever."""

    key_id: str
    digest: bytes
    label: str = ""
    ttl_ms: int = 0


@dataclass(frozen=True)
class StoredKey:
    """A key as an operator sees it; times in ms since 1970, 0 if it has no end."""

    key_id: str
    user: str
    label: str
    created_ms: int
    end_ms: int
    revoked_ms: int


@dataclass(frozen=True)
class Account:
    """A user as an operator sees it."""

    user: str
    tier: str
    role: str
    created_ms: int


@dataclass(frozen=True)
class Audited:
    """Something that an operator did."""

    at_ms: int
    by: str
    action: str
    user: str
    subject: str


class Accounts:
    """Reads and transitions of users and keys. Every method may raise StoreUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = Commands(redis)
        self._scripts = Scripts(redis)

    async def identify(self, key_id: str) -> Identity | None:
        """Return whose key this is, also if it opens nothing any more; None if it is unknown."""
        found = await self._scripts.run("identify", key_id)
        if found is None:
            return None
        state, digest, user, tier, role, left_ms = found
        return Identity(
            KeyState(state.decode()), digest, user.decode(), tier.decode(), role.decode(), left_ms
        )

    async def enrol(
        self, by: str, new: NewKey, user: str, *, tier: str = "", role: str = "", default_tier: str
    ) -> bool:
        """Store a key, and its user if they are new; False if the key's id is known already.

        ``tier`` and ``role`` change those of a known user unless they are empty.
        """
        answer = await self._scripts.run(
            "enrol", by, new.key_id, new.digest, new.label, new.ttl_ms, user, tier, role,
            default_tier,
        )  # fmt: skip
        return bool(answer == b"CREATED")

    async def revoke(self, by: str, key_id: str) -> bool:
        """End a key; False if it is unknown. Safe to repeat."""
        return bool(await self._scripts.run("revoke", by, key_id) == b"OK")

    async def set_account(
        self, by: str, user: str, *, tier: str = "", role: str = "", default_tier: str
    ) -> bool:
        """Set tier and role of a user, unless empty; True if the user is new."""
        answer = await self._scripts.run("account", by, user, tier, role, default_tier)
        return bool(answer == b"CREATED")

    async def accounts(self) -> list[Account]:
        """Return every user, the oldest first."""
        users = [user.decode() for user in await self._members(keys.key("accounts"))]
        names = [keys.key("account", user) for user in users]
        return [
            _account_from(user, fields)
            for user, fields in zip(users, await self._hashes(names), strict=True)
        ]

    async def keys_of(self, user: str) -> list[StoredKey]:
        """Return the keys of a user, the oldest first; those that ended long ago are forgotten."""
        ids = [key_id.decode() for key_id in await self._members(keys.key("apikeys", user))]
        names = [keys.key("apikey", key_id) for key_id in ids]
        return [
            _key_from(key_id, fields)
            for key_id, fields in zip(ids, await self._hashes(names), strict=True)
            if fields
        ]

    async def audit(self, by: str, action: str, user: str, subject: str) -> None:
        """Put on record what an operator did."""
        await self._redis.run(
            "XADD", keys.key("audit"), "MAXLEN", "~", MOST_AUDITED, "*",
            "by", by, "action", action, "user", user, "subject", subject,
        )  # fmt: skip

    async def audited(self, count: int) -> list[Audited]:
        """Return the last ``count`` entries of the record, the newest first."""
        entries = await self._redis.run("XREVRANGE", keys.key("audit"), "+", "-", "COUNT", count)
        return [_audited_from(entry_id, reading.pairs(flat)) for entry_id, flat in entries]

    async def _members(self, name: str) -> list[bytes]:
        return list(await self._redis.run("ZRANGE", name, 0, -1))

    async def _hashes(self, names: Sequence[str]) -> list[reading.Hash]:
        return list(await asyncio.gather(*(self._redis.run("HGETALL", name) for name in names)))


def _account_from(user: str, fields: reading.Hash) -> Account:
    tier, role = fields[b"tier"].decode(), fields[b"role"].decode()
    return Account(user, tier, role, int(fields[b"created_ms"]))


def _key_from(key_id: str, fields: reading.Hash) -> StoredKey:
    return StoredKey(
        key_id,
        fields[b"user"].decode(),
        fields[b"label"].decode(),
        int(fields[b"created_ms"]),
        int(fields[b"end_ms"]),
        int(fields[b"revoked_ms"]),
    )


def _audited_from(entry_id: bytes, fields: reading.Hash) -> Audited:
    at_ms, _, _ = entry_id.decode().partition("-")
    texts = (fields[name].decode() for name in (b"by", b"action", b"user", b"subject"))
    return Audited(int(at_ms), *texts)
