"""Who is calling. Every RPC but health and reflection needs a key; the user comes from it alone."""

import hashlib
import hmac
from contextvars import ContextVar

from gateway.errors import Unauthenticated

# Set for the length of an RPC by the interceptor that checked the key.
current_user: ContextVar[str] = ContextVar("current_user")


class StaticKey:
    """One key for one user, from the settings. Only its SHA-256 is kept."""

    def __init__(self, key: str, user: str = "local") -> None:
        self._digest = _digest(key)
        self._user = user

    def user_of(self, authorization: str | None) -> str:
        """Return the user that the header ``Bearer <key>`` belongs to. Raises Unauthenticated."""
        if not authorization:
            raise Unauthenticated(
                "TOKEN_MISSING", "Send your key in the metadata `authorization: Bearer <key>`."
            )
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(_digest(key), self._digest):
            raise Unauthenticated("TOKEN_INVALID", "This key is not known here.")
        return self._user


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
