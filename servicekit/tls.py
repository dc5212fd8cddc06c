"""Certificates in PEM files, read anew when the files have changed: nothing has to restart.

New connections get the new ones; what cannot be used is logged, and the old ones go on.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
import structlog

T = TypeVar("T")
Stamp = tuple[tuple[int, int, int], ...]

log = structlog.get_logger()


class UnusableCertificate(Exception):
    """Files are missing or do not fit together; the message is for people."""


@dataclass(frozen=True)
class PemFiles:
    """Our certificate with its chain, its key, and the authorities that others are checked by.

    Without ``ca`` a server asks nobody for a certificate, and a client trusts what gRPC ships.
    """

    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    def stamp(self) -> Stamp:
        """Return what changes when a file is replaced."""
        found = [path.stat() for path in (self.cert, self.key, self.ca) if path and path.exists()]
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found)

    def server_context(self) -> ssl.SSLContext:
        """Return a context for HTTPS that keeps up with the files. Raises UnusableCertificate."""
        latest = _Latest(self, self._context)
        context = self._context()

        def renew(connection: ssl.SSLObject, _: object, __: object) -> None:
            latest.renew()
            connection.context = latest.value

        context.sni_callback = renew
        return context

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return credentials that keep up with the files. Raises UnusableCertificate."""
        latest = _Latest(self, self._server_configuration)

        def newest() -> Any:
            return latest.value if latest.renew() else None

        return grpc.dynamic_ssl_server_credentials(
            latest.value, newest, require_client_authentication=self.ca is not None
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return credentials of a client with what the files hold now. Raises as above."""
        ca, key, cert = self._contents()
        return grpc.ssl_channel_credentials(ca, key, cert)

    def _server_configuration(self) -> grpc.ServerCertificateConfiguration:
        ca, key, cert = self._contents()
        pairs = [(key, cert)] if key and cert else []
        return grpc.ssl_server_certificate_configuration(pairs, root_certificates=ca)

    def _contents(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        self._context()
        ca, key, cert = (
            path.read_bytes() if path else None for path in (self.ca, self.key, self.cert)
        )
        return ca, key, cert

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            if self.cert and self.key:
                context.load_cert_chain(self.cert, self.key)
            if self.ca:
                context.load_verify_locations(self.ca)
        except (OSError, ssl.SSLError) as error:
            names = ", ".join(str(path) for path in (self.cert, self.key, self.ca) if path)
            raise UnusableCertificate(f"{names} cannot be used for TLS: {error}.") from None
        return context


class _Latest(Generic[T]):
    """What was made of files when they last could be used."""

    def __init__(self, files: PemFiles, load: Callable[[], T]) -> None:
        self._files = files
        self._load = load
        self._stamp, self.value = files.stamp(), load()

    def renew(self) -> bool:
        """Return whether the value is another one than before."""
        stamp = self._files.stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.value = self._load()
        except UnusableCertificate as error:
            log.error("a new certificate is not used", error=str(error))
            return False
        return True
