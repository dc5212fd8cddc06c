"""One POST to an address that a user chose: bounded in time and size, and never led elsewhere.

The only place where a gateway dials such an address, and only through the filter. Of an answer the
status and ``Retry-After`` count; its body is not read.
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

import httpcore2
import httpx2
import structlog

from gateway.addresses import webhook_fault
from servicekit.egress import Egress, Forbidden

log = structlog.get_logger()

# What a receiver's address can make of a connection, in words that tell nothing of our network.
_FAILURES: Mapping[type[Exception], str] = {
    Forbidden: "The address does not lead to the internet; only such receivers are told.",
    TimeoutError: "There was no answer in time.",
    ssl.SSLError: "No TLS connection could be made; is the receiver's certificate valid?",
    OSError: "The address cannot be reached.",
    httpx2.ConnectError: "The address cannot be reached.",
    httpx2.TransportError: "The connection broke before there was an answer in HTTP.",
    httpx2.InvalidURL: "The address is not valid.",
}


@dataclass(frozen=True)
class Answer:
    """What came back: an HTTP status, or 0 and in ``error`` why there is none."""

    http_status: int = 0
    error: str = ""
    retry_after_seconds: float | None = None


class WebhookClient:
    """Makes POSTs to the addresses of users; use it with ``async with``."""

    def __init__(self, egress: Egress, timeout_seconds: float, *, allow_http: bool) -> None:
        self._timeout_seconds = timeout_seconds
        self._allow_http = allow_http
        # Proxies and passwords that the environment holds are not meant for addresses of users.
        self._http = httpx2.AsyncClient(
            transport=_Transport(egress), follow_redirects=False, timeout=None, trust_env=False
        )

    async def __aenter__(self) -> "WebhookClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send ``body`` once. Whatever the receiver does is an Answer, never an exception."""
        if fault := webhook_fault(url, allow_http=self._allow_http):
            return Answer(error=fault[1])
        try:
            # One limit for all: the library's own begin anew with every byte.
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._http.stream("POST", url, content=body, headers=headers) as response,
            ):
                return _answer(response)
        except tuple(_FAILURES) as error:
            if isinstance(error, Forbidden):
                log.warning("an address was refused to a webhook", address=str(error))
            return Answer(error=_in_words(error))


class _Transport(httpx2.AsyncHTTPTransport):
    def __init__(self, egress: Egress) -> None:
        # There is no parameter for what dials; the names for TLS and Host stay the receiver's.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=_Network(egress)
        )


class _Network(httpcore2.AnyIOBackend):
    """Connects to where the filter says that a name leads."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return await self._egress.dial(host, port, partial(super().connect_tcp, timeout=timeout))


def _answer(response: httpx2.Response) -> Answer:
    status = response.status_code
    if response.is_success:
        return Answer(status)
    redirect = "; redirects are not followed" if response.is_redirect else ""
    retry_after = seconds_until(response.headers.get("retry-after", ""), datetime.now(UTC))
    return Answer(status, f"The receiver answered {status}{redirect}.", retry_after)


def seconds_until(retry_after: str, now: datetime) -> float | None:
    """Read ``Retry-After``: seconds or a date; None if it is neither."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return (parsedate_to_datetime(retry_after) - now).total_seconds()
    except (TypeError, ValueError):
        return None


def _in_words(error: Exception) -> str:
    cause: BaseException | None = error
    while cause and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    found = cause or error
    return next(words for kind, words in _FAILURES.items() if isinstance(found, kind))
