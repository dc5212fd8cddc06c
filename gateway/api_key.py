"""API keys as text: ``bs_<key id>_<secret>``. The id is no secret, the secret is kept nowhere."""

import hashlib
import re
import secrets
from dataclasses import dataclass

_KEY = re.compile(r"bs_([a-z0-9]{4,32})_([A-Za-z0-9_-]{32,128})", re.ASCII)


@dataclass(frozen=True)
class ApiKey:
    """A key as its holder presents it."""

    key_id: str
    secret: str

    @classmethod
    def new(cls) -> "ApiKey":
        """Return a key of 32 random bytes."""
        return cls(secrets.token_hex(6), secrets.token_hex(32))

    @classmethod
    def parse(cls, text: str) -> "ApiKey | None":
        """Return the key that ``text`` is; None if it has not the form of one."""
        found = _KEY.fullmatch(text)
        return cls(*found.groups()) if found else None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the secret, in hex. The secret is random, so no slower hash is needed."""
        return hashlib.sha256(self.secret.encode()).hexdigest().encode()

    @property
    def text(self) -> str:
        return f"bs_{self.key_id}_{self.secret}"

    def __repr__(self) -> str:
        return f"ApiKey({self.key_id!r})"
