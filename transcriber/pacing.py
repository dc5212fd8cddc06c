"""How many videos of one site are fetched at a time, and how soon one after another.

Sites turn away whom they take for a machine; a transcriber with many slots looks like one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_ALIASES = {"youtu.be": "youtube.com"}


@dataclass(frozen=True)
class Pace:
    """``most`` fetches of a site at a time, ``interval_seconds`` between their starts."""

    most: int
    interval_seconds: float


class SitePacing:
    """Lets fetches begin, for each site in the order in which they asked."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._sites: dict[str, _Site] = {}

    @asynccontextmanager
    async def turn(self, url: str) -> AsyncIterator[None]:
        """Wait until the site of ``url`` may be asked; its place is kept until the context ends."""
        self._forget_idle_sites()
        name = site_of(url)
        if not name:  # A file of this machine.
            yield
            return
        site = self._sites.setdefault(name, _Site(asyncio.Semaphore(self._pace.most)))
        site.visitors += 1
        try:
            async with site.places:
                await self._keep_interval(site)
                yield
        finally:
            site.visitors -= 1

    async def _keep_interval(self, site: "_Site") -> None:
        """Wait for the interval since the fetch before really began, though it began late."""
        clock = asyncio.get_running_loop().time
        async with site.door:
            if (wait := site.next_begin - clock()) > 0:
                await asyncio.sleep(wait)
            site.next_begin = clock() + self._pace.interval_seconds

    def _forget_idle_sites(self) -> None:
        now = asyncio.get_running_loop().time()
        for name, site in list(self._sites.items()):
            if not site.visitors and site.next_begin <= now:
                del self._sites[name]


@dataclass
class _Site:
    places: asyncio.Semaphore
    door: asyncio.Lock = field(default_factory=asyncio.Lock)
    visitors: int = 0
    next_begin: float = 0.0


def site_of(url: str) -> str:
    """Return the name under which a site was probably registered, such as bbc.co.uk.

    Empty for an address without a host. A guess from the lengths of its parts: one that is too
    wide only makes for a slower pace.
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""
    labels = host.split(".")
    if ":" in host or labels[-1].isdigit():
        return host
    is_second_level = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    name = ".".join(labels[-3 if is_second_level else -2 :])
    return _ALIASES.get(name, name)
