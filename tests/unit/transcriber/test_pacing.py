"""How sites are spared."""

import asyncio
from itertools import pairwise

import pytest

from tests.support import wait_until
from transcriber.pacing import Pace, SitePacing, site_of


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://www.youtube.com/watch?v=1", "youtube.com"),
        ("https://M.YouTube.com./watch?v=1", "youtube.com"),
        ("https://youtu.be/1", "youtube.com"),
        ("https://one.bandcamp.com/track/a", "bandcamp.com"),
        ("https://www.bbc.co.uk/iplayer", "bbc.co.uk"),
        ("https://t.co/a", "t.co"),
        ("http://192.0.2.1:8080/a.mp3", "192.0.2.1"),
        ("http://[2001:db8::1]/a.mp3", "2001:db8::1"),
        ("http://media/a.mp3", "media"),
        ("file:///corpus/a.mp3", ""),
    ],
)
def test_a_site_is_known_by_its_registered_name(url: str, site: str) -> None:
    """Subdomains and short addresses lead to the same servers; numbers and files do not."""
    assert site_of(url) == site


async def test_a_site_is_visited_by_few_at_a_time() -> None:
    """Who comes later waits for a place, in order; other sites have places of their own."""
    pacing = SitePacing(Pace(most=2, interval_seconds=0))
    leave = asyncio.Event()
    inside: list[str] = []

    async def visit(url: str) -> None:
        async with pacing.turn(url):
            inside.append(url)
            await leave.wait()

    urls = [f"https://example.com/{number}" for number in range(4)]
    visits = [asyncio.create_task(visit(url)) for url in [*urls, "https://example.org/"]]
    await wait_until(lambda: len(inside) == 3)
    assert inside == [*urls[:2], "https://example.org/"]
    leave.set()
    await asyncio.gather(*visits)
    assert inside[3:] == urls[2:]


async def test_starts_keep_their_distance() -> None:
    """Fetches of one site begin no sooner after one another than the operator says."""
    pacing = SitePacing(Pace(most=10, interval_seconds=0.05))
    begins: list[float] = []

    async def visit() -> None:
        async with pacing.turn("https://example.com/"):
            begins.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(visit() for _ in range(4)))
    gaps = [later - earlier for earlier, later in pairwise(begins)]
    assert min(gaps) > 0.045


async def test_who_gives_up_waiting_leaves_no_trace() -> None:
    """A cancelled fetch gives its place back, and sites that nobody asks are forgotten."""
    pacing = SitePacing(Pace(most=1, interval_seconds=0))
    async with pacing.turn("https://example.com/"):
        waiting = asyncio.create_task(pacing.turn("https://example.com/").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(5), pacing.turn("https://example.com/"):
        pass
    async with pacing.turn("https://example.org/"):
        assert list(pacing._sites) == ["example.org"]
