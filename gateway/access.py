"""Who is calling: every RPC but health and reflection needs a key, and the key alone says who.

Whether a key is good is asked of Redis and believed for a while, so a revoked key opens nothing
after a minute, and a short outage of Redis locks nobody out who was known just before.
"""

import hmac
import math
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from gateway.api_key import ApiKey
from gateway.errors import StoreUnavailable, Unauthenticated
from gateway.store import Accounts, Identity, KeyState
from gateway.tiers import UNLIMITED

# An answer of Redis is used without asking again for so long, and for so long if Redis is away.
FRESH_SECONDS = 20.0
STALE_SECONDS = 50.0
MOST_KNOWN = 10_000

# What an unknown key is compared with, so that it takes as long as a known one.
_NO_DIGEST = b"0" * 64


class Role(StrEnum):
    """What a caller may do: a user works on their own batches, an admin may read those of all."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """The user that a call is made for; ``tier`` names the limits that hold for them.

    ``key_id`` tells which of their keys was presented.
    """

    user: str
    tier: str
    role: Role = Role.USER
    key_id: str = ""


# Whose key the one of the settings is.
LOCAL = Caller("local", UNLIMITED)

# Set for the length of an RPC by the interceptor that checked the key.
current_caller: ContextVar[Caller] = ContextVar("current_caller")


@dataclass(frozen=True)
class _Known:
    """A caller whose key was good; both times are seconds of the ring's clock."""

    caller: Caller
    asked: float
    ends: float

    def is_good(self, now: float, age_seconds: float) -> bool:
        return now < min(self.asked + age_seconds, self.ends)


class KeyRing:
    """Checks keys. It remembers only those that were good, by id and hash together: a wrong secret
    takes the same way as an unknown id.
    """

    def __init__(
        self,
        accounts: Accounts,
        given: ApiKey | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``given`` is a key of LOCAL that is good as long as this ring exists."""
        self._accounts = accounts
        self._given = given
        self._clock = clock
        self._known: dict[tuple[str, bytes], _Known] = {}

    async def caller_of(self, authorization: Sequence[str]) -> Caller:
        """Return whom the one header ``Bearer <key>`` belongs to.

        Raises Unauthenticated; StoreUnavailable if Redis is away and the key not known of late.
        """
        key = _presented(authorization)
        name, now = (key.key_id, key.digest), self._clock()
        if self._given and hmac.compare_digest(key.text, self._given.text):
            return LOCAL
        known = self._known.get(name)
        if known and known.is_good(now, FRESH_SECONDS):
            return known.caller
        try:
            identity = await self._accounts.identify(key.key_id)
        except StoreUnavailable:
            if known and known.is_good(now, STALE_SECONDS):
                return known.caller
            raise
        self._known.pop(name, None)
        return self._remember(name, _checked(identity, key), now)

    async def recheck(self, key_id: str) -> None:
        """Raise Unauthenticated if a key that was good is so no more; or StoreUnavailable."""
        if key_id != LOCAL.key_id:
            _check_state(await self._accounts.identify(key_id))

    def _remember(self, name: tuple[str, bytes], identity: Identity, now: float) -> Caller:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        caller = Caller(identity.user, identity.tier, Role(identity.role), name[0])
        ends = now + identity.left_ms / 1000 if identity.left_ms else math.inf
        self._known[name] = _Known(caller, now, ends)
        return caller


def _presented(authorization: Sequence[str]) -> ApiKey:
    if not authorization:
        raise Unauthenticated(
            "TOKEN_MISSING", "Send your key in the metadata `authorization: Bearer <key>`."
        )
    if len(authorization) > 1:
        raise Unauthenticated(
            "TOKEN_INVALID", "There is more than one `authorization`: send one, with one key."
        )
    scheme, _, text = authorization[0].partition(" ")
    key = ApiKey.parse(text)
    if scheme.lower() != "bearer" or key is None:
        raise Unauthenticated(
            "TOKEN_INVALID", "This is no key of this service: send `Bearer bs_<id>_<secret>`."
        )
    return key


def _checked(identity: Identity | None, key: ApiKey) -> Identity:
    digest = identity.digest if identity else _NO_DIGEST
    if not hmac.compare_digest(digest, key.digest):
        raise _unknown()
    return _check_state(identity)


def _check_state(identity: Identity | None) -> Identity:
    if identity is None:
        raise _unknown()
    if identity.state is KeyState.REVOKED:
        raise Unauthenticated(
            "TOKEN_REVOKED", "This key has been revoked; ask the operator for a new one."
        )
    if identity.state is KeyState.EXPIRED:
        raise Unauthenticated(
            "TOKEN_EXPIRED", "This key has expired; ask the operator for a new one."
        )
    return identity


def _unknown() -> Unauthenticated:
    return Unauthenticated(
        "TOKEN_INVALID", "This key is not known here; check that all of it was copied."
    )
