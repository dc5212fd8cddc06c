"""Secrets at rest: sealed with the operator's keys, if there are any.

The first key seals, every key opens, so keys can be replaced one after the other.
"""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

_MARK = "sealed:"


class SealedForOthers(Exception):
    """No key that this gateway has opens a secret."""


def new_key() -> str:
    """Return a key for a box: 32 random bytes in URL-safe base64."""
    return Fernet.generate_key().decode()


class SecretBox:
    """Seals and opens texts. Without keys it leaves them as they are."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        """Raises ValueError if one of ``keys`` is none."""
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None

    def seal(self, text: str) -> str:
        """Return ``text`` as it may be stored."""
        if self._fernet is None:
            return text
        return _MARK + self._fernet.encrypt(text.encode()).decode()

    def open(self, stored: str) -> str:
        """Return what was sealed, or stored before there were keys. Raises SealedForOthers."""
        if not stored.startswith(_MARK):
            return stored
        if self._fernet is None:
            raise SealedForOthers
        try:
            return self._fernet.decrypt(stored.removeprefix(_MARK)).decode()
        except InvalidToken:
            raise SealedForOthers from None
