"""``make bench-page``: how soon the page shows an ended batch of 500 videos in a real browser.

The time runs from the start of the navigation to the frame in which all rows are there.
"""

import asyncio
from statistics import median

from playwright.async_api import async_playwright

from tests.browser.chromium import find_chromium
from tests.running_gateway import KEY, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running
from tests.valkey import Valkey

VIDEOS, ROUNDS = 500, 9
GOAL_MS = 1000
# With the page's own policy nothing may be evaluated but what the browser's driver sends at once.
ALL_ROWS = f".items li:nth-child({VIDEOS})"
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => done(performance.now())))"
FIRST = "() => performance.getEntriesByType('paint').at(-1).startTime"


async def painted(redis_url: str) -> list[tuple[float, float]]:
    """Return for each round the milliseconds to the first contentful paint and to all rows."""
    async with (
        running(ScriptedTranscriber(slots=32)) as transcriber,
        running_gateway(
            redis_url,
            [transcriber.address],
            http_listen="127.0.0.1:0",
        ) as gateway,
        async_playwright() as playwright,
    ):
        made = await gateway.create(*(f"https://example.org/{n}" for n in range(VIDEOS)))
        await gateway.ended(made.batch_id)
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox"]
        )
        page = await browser.new_page()
        await page.goto(f"http://{gateway.http}/#key={KEY}")
        rounds = []
        for _ in range(ROUNDS):
            await page.goto("about:blank")
            await page.goto(f"http://{gateway.http}/#/batches/{made.batch_id}")
            await page.locator(ALL_ROWS).wait_for(state="attached")
            rounds.append((await page.evaluate(FIRST), await page.evaluate(PAINTED)))
        await browser.close()
        return rounds


def main() -> None:
    valkey = Valkey()
    valkey.start()
    try:
        rounds = asyncio.run(painted(valkey.url))
    finally:
        valkey.close()
    first, rows = (median(column) for column in zip(*rounds, strict=True))
    worst = max(rows for _, rows in rounds)
    print(
        f"{VIDEOS} videos, {ROUNDS} rounds: all rows after {rows:.0f} ms, at worst {worst:.0f} ms"
    )
    print(f"bench-page: first_paint_ms={first:.0f} all_rows_ms={rows:.0f} goal_ms={GOAL_MS}")


if __name__ == "__main__":
    main()
