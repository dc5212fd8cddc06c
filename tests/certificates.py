"""Certificates of an authority made for the test, as PEM files that can be replaced."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import trustme

from servicekit.tls import PemFiles


@dataclass
class Authority:
    """One who vouches; its files lie in ``folder``."""

    folder: Path
    _ca: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self._ca.cert_pem.write_to_path(str(self.ca))

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, *hosts: str, until: datetime | None = None) -> PemFiles:
        """Write a new certificate over the one of ``name``, if there is one."""
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        issued = self._ca.issue_cert(*hosts, not_after=until)
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return PemFiles(cert, key, self.ca)
