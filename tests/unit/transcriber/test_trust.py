"""What downloads trust."""

import ssl
from typing import Any

from transcriber.fetch.source import SharedTrustRH


def test_certificates_are_read_once_and_checked_always() -> None:
    """Each use of yt-dlp has connections of its own; all of them check the same certificates."""
    unused: Any = None
    one, other = (SharedTrustRH(logger=unused) for _ in range(2))
    context = one._make_sslcontext()
    assert context is other._make_sslcontext()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert one._make_sslcontext(legacy_ssl_support=True) is not context
