"""The whole assault: addresses, media, webhooks and requests, with the filter on and off."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from batchscribe.client import Client
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeResponse
from batchscribe.v1.webhook_service_pb2 import DeliveryState

from tests.abuse import deployment, leaks, media, urls, web, webhooks
from tests.abuse.fetching import EVERYTHING, Fetching, transcriber
from tests.abuse.internet import Hit, Internet
from tests.abuse.leaks import Planted
from tests.abuse.names import PUBLIC, name_server
from tests.abuse.requests import Assault
from tests.abuse.urls import Attack
from tests.running_gateway import RunningGateway, running_gateway
from tests.valkey import Valkey

# Reasons that are our own fault.
_INTERNAL = ("INTERNAL_ERROR", "WORKER_CRASHED")
_MARK = re.compile(r"mark-(\d+)\b")


@dataclass(frozen=True)
class Scale:
    """How much of everything: each ``step``-th address and file, and requests to each route."""

    step: int = 1
    requests_each: int = 200


@dataclass
class Report:
    """What was tried, and what should not have happened."""

    urls: int = 0
    media: int = 0
    requests: int = 0
    control_hits: int = 0
    sentinel_hits: list[Hit] = field(default_factory=list)
    internal_errors: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.sentinel_hits or self.internal_errors or self.leaks or self.gaps)

    def lines(self) -> list[str]:
        """Return what went wrong, and the sum of it all as the last line."""
        wrong = (self.gaps, map(str, self.sentinel_hits), self.internal_errors, self.leaks)
        return [
            *chain.from_iterable(wrong),
            f"abuse: urls={self.urls} media={self.media} requests={self.requests} "
            f"control_hits={self.control_hits} sentinel_hits={len(self.sentinel_hits)} "
            f"internal_errors={len(self.internal_errors)} leaks={len(self.leaks)}",
        ]


class Campaign:
    """One run, on the internet of our own, with what everybody logs in ``log``."""

    def __init__(self, scale: Scale, folder: Path, log: Path) -> None:
        self._scale = scale
        self._folder = folder
        self._log = log
        self._planted = Planted()
        self._internet = Internet()
        self._report = Report()
        self._texts: list[tuple[str, str]] = []

    async def run(self) -> Report:
        """Try everything once with the filter as good as off, then as it is."""
        attacks = urls.attacks()[:: self._scale.step]
        async with self._internet.serving(web.answer), name_server():
            await self._assail_unfiltered(attacks)
            await self._assail_filtered(attacks)
            self._texts += await deployment.texts(self._planted, self._folder)
            self._report.sentinel_hits = list(self._internet.hits)
        with_names = (("log", self._log.read_text(errors="replace")), *self._texts)
        self._report.leaks += self._planted.found_in(with_names)
        return self._report

    # ---- without the filter ---------------------------------------------------------------------

    async def _assail_unfiltered(self, attacks: Sequence[Attack]) -> None:
        """Show that each kind of attack arrives where nothing stops it."""
        async with transcriber(self._folder, EVERYTHING) as fetching:
            await fetching.fetch_all(attack.url for attack in attacks)
        reached = _marks(self._internet.hits)
        self._report.control_hits = len(reached)
        kinds = {attack.kind for attack in attacks if attack.reaches}
        kinds -= {attack.kind for attack in attacks if attack.number in reached}
        if any(hit.port == 443 for hit in self._internet.hits):
            kinds.discard("TLS")  # Nobody can read the marks in these.
        self._report.gaps += [f"{kind}: reaches nothing without a filter" for kind in sorted(kinds)]
        await self._tell_unfiltered(attacks)
        self._internet.hits.clear()

    async def _tell_unfiltered(self, attacks: Sequence[Attack]) -> None:
        self._internet.hits.clear()
        async with self._gateway(egress_allow=EVERYTHING, egress_ports=(80, 443)) as (_, client):
            await webhooks.tell_all(client, [attacks[0].url])
        if not self._internet.hits:
            self._report.gaps.append("webhooks: reach nothing without a filter")

    # ---- with it --------------------------------------------------------------------------------

    async def _assail_filtered(self, attacks: Sequence[Attack]) -> None:
        cookies_file = self._planted.cookies_file(self._folder)
        async with transcriber(self._folder, cookies_file=cookies_file) as fetching:
            await self._fetch_allowed(fetching)
            await self._fetch_attacks(fetching, attacks)
            await self._fetch_media(fetching)
            self._texts += leaks.processes(os.getpid()).items()
        async with self._gateway() as (gateway, client):
            await self._tell(client, attacks)
            await self._request(gateway)
            self._texts += leaks.processes(os.getpid()).items()

    async def _fetch_allowed(self, fetching: Fetching) -> None:
        outcomes = await fetching.fetch_all(urls.ALLOWED)
        for url, outcome in zip(urls.ALLOWED, outcomes, strict=True):
            if not outcome.transcript.text:
                self._report.gaps.append(f"{url}: {outcome.error.reason}, but it is allowed")

    async def _fetch_attacks(self, fetching: Fetching, attacks: Sequence[Attack]) -> None:
        outcomes = await fetching.fetch_all(attack.url for attack in attacks)
        self._report.urls = len(attacks)
        for attack, outcome in zip(attacks, outcomes, strict=True):
            self._judge(attack.url, outcome)
            if outcome.HasField("transcript"):
                self._report.gaps.append(f"{attack.url}: has a transcript")

    async def _fetch_media(self, fetching: Fetching) -> None:
        files = dict(list(media.files().items())[:: self._scale.step])
        web.publish(files)
        paths = [*web.HOSTILE[:: self._scale.step], *(f"files/{name}" for name in files)]
        outcomes = await fetching.fetch_all(f"http://{PUBLIC}/{path}" for path in paths)
        self._report.media = len(paths)
        for name, outcome in zip(paths, outcomes, strict=True):
            self._judge(name, outcome)
        await self._fetch_allowed(fetching)  # It is as well as it was before.

    def _judge(self, what: str, outcome: TranscribeResponse) -> None:
        error = outcome.error
        self._texts.append((f"the answer to {what}", f"{error.message} {error.hint}"))
        if error.reason in _INTERNAL:
            self._report.internal_errors.append(f"{what}: {error.reason}")

    async def _tell(self, client: Client, attacks: Sequence[Attack]) -> None:
        direct = [attack.url for attack in attacks if web.LEADING not in attack.url]
        for url, delivery in zip(direct, await webhooks.tell_all(client, direct), strict=True):
            if delivery and delivery.state == DeliveryState.DELIVERY_STATE_DELIVERED:
                self._report.gaps.append(f"{url}: was told")
        (delivery,) = await webhooks.tell_all(client, [webhooks.TELLING])
        if not delivery or delivery.state != DeliveryState.DELIVERY_STATE_DELIVERED:
            self._report.gaps.append(f"{webhooks.TELLING}: was not told, but it is allowed")

    async def _request(self, gateway: RunningGateway) -> None:
        assault = Assault(gateway.address, gateway.http, self._planted.api_key)
        findings = await asyncio.to_thread(assault.run, self._scale.requests_each)
        self._report.requests = findings.requests
        self._report.internal_errors += findings.faults
        self._texts += (("an error", text) for text in findings.answers)

    @asynccontextmanager
    async def _gateway(self, **settings: Any) -> AsyncIterator[tuple[RunningGateway, Client]]:
        """Run a gateway that tells http receivers, at once or never."""
        given: dict[str, Any] = {
            "api_key": self._planted.api_key,
            "http_listen": "127.0.0.1:0",
            "webhook_allow_http": True,
            "webhook_retry_seconds": (),
            "egress_allow": (),
        }
        valkey = Valkey()
        try:
            valkey.start()
            async with (
                running_gateway(valkey.url, **(given | settings)) as gateway,
                Client(gateway.address, self._planted.api_key) as client,
            ):
                yield gateway, client
        finally:
            valkey.close()


def _marks(hits: Iterable[Hit]) -> set[int]:
    return {int(mark) for hit in hits for mark in _MARK.findall(hit.line)}
