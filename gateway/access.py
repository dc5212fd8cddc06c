"""Who is calling: every RPC but health and reflection needs a key, and the key alone says who."""

import hashlib
import hmac
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from gateway.errors import Unauthenticated


class Role(StrEnum):
    """What a caller may do: a user works on their own batches, an admin may read those of all."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """The user that a call is made for; ``tier`` names the limits that hold for them."""

    user: str
    tier: str
    role: Role = Role.USER


# Set for the length of an RPC by the interceptor that checked the key.
current_caller: ContextVar[Caller] = ContextVar("current_caller")


class StaticKey:
    """One key for one user, from the settings. Only its SHA-256 is kept."""

    def __init__(self, key: str, caller: Caller) -> None:
        self._digest = _digest(key)
        self._caller = caller

    def caller_of(self, authorization: str | None) -> Caller:
        """Return whom the header ``Bearer <key>`` belongs to. Raises Unauthenticated."""
        if not authorization:
            raise Unauthenticated(
                "TOKEN_MISSING", "Send your key in the metadata `authorization: Bearer <key>`."
            )
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(_digest(key), self._digest):
            raise Unauthenticated("TOKEN_INVALID", "This key is not known here.")
        return self._caller


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
