"""A headless Chromium, and a gateway whose page it opens."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.chromium import find_chromium
from tests.browser.story import ELSEWHERE, Story
from tests.running_gateway import KEY, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(),
            args=[
                "--no-sandbox",  # It does not start for root.
                f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
            ],
        )
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab that fails the test for whatever goes wrong in its scripts."""
    page = await browser.new_page(locale="en-GB", timezone_id="UTC")
    page.set_default_timeout(20_000)
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    yield page
    assert not broken


@pytest.fixture
async def story(redis_url: str, page: Page) -> AsyncIterator[Story]:
    """A page with a key, in front of a gateway whose transcriber waits to be told."""
    story = Story(page)
    async with (
        running(ScriptedTranscriber(story.script, slots=10)) as transcriber,
        running_gateway(
            redis_url,
            [transcriber.address],
            http_listen="127.0.0.1:0",
        ) as gateway,
    ):
        story.root = f"http://{gateway.http}/"
        await page.goto(f"{story.root}#key={KEY}")
        yield story
