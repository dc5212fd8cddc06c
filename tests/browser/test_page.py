"""The web page in a real browser, from the first address to the downloaded file."""

import re
import zipfile
from pathlib import Path

import pytest
from batchscribe.client.discovery import Server
from batchscribe.local.page import sign_in_file
from playwright.async_api import Browser, Page, Route, expect

from tests.browser.story import ELSEWHERE, HOSTILE, Story
from tests.running_gateway import KEY, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running

pytestmark = pytest.mark.needs_chromium

LECTURES = [f"https://example.org/lecture-{number}" for number in range(3)]


async def test_a_batch_is_pasted_followed_read_and_downloaded(story: Story) -> None:
    """The whole story: paste, watch, read, search, download, and find it again."""
    page = story.page
    await story.paste("https://example.org/broken", *LECTURES, name="Linguistics 101")
    await expect(page.get_by_role("heading", name="Linguistics 101")).to_be_visible()
    await expect(story.row("lecture-0")).to_contain_text("Transcribing50%")
    await expect(story.row("broken")).to_contain_text("Failed")
    story.end(*LECTURES)
    await expect(page.get_by_text("Ended: 3 of 4 videos done, 1 not.")).to_be_visible()
    await expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download all").click()
    with zipfile.ZipFile(await (await downloading.value).path()) as files:
        assert len(files.namelist()) == 3
    await story.row("lecture-1").get_by_role("link").click()
    await expect(page.get_by_text("Sentence 19 of the lecture.")).to_be_visible()
    await page.get_by_role("searchbox").fill("Sentence 1")
    await expect(page.locator("mark")).to_have_count(11)
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="srt").click()
    assert (await downloading.value).suggested_filename.endswith(".srt")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Copy text").click()
    await expect(page.get_by_text("The text is copied.")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines()[19] == "Sentence 19 of the lecture."
    await page.get_by_role("link", name="Batchscribe").click()
    await expect(story.row("Linguistics 101")).to_contain_text("Partly done")


async def test_a_hostile_title_is_only_text(story: Story) -> None:
    """Markup in a title is shown as it is written, on every view, and never runs."""
    page = story.page
    await story.paste(LECTURES[0])
    story.end(LECTURES[0])
    title = page.get_by_role("link", name=HOSTILE)
    await title.click()
    await expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    assert await page.evaluate("window.owned") is None
    assert await page.locator("main img, main script").count() == 0


async def test_the_policy_stops_scripts_in_the_page(story: Story) -> None:
    """A script that got into the page after all would not run: the policy forbids it."""
    ran = await story.page.evaluate(
        """() => { const script = document.createElement("script");
        script.textContent = "window.ran = true"; document.body.append(script);
        return Boolean(window.ran) }"""
    )
    assert ran is False


async def test_the_key_leaves_the_address(story: Story) -> None:
    """A key in the fragment is taken and gone from the address; signing out forgets it."""
    page = story.page
    await expect(page.get_by_role("heading", name="New batch")).to_be_visible()
    assert page.url == f"{story.root}#/"
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.get_by_label("API key").fill("bs_no_key")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("key")


async def test_the_sign_in_file_leads_to_the_page(
    story: Story, browser: Browser, tmp_path: Path
) -> None:
    """What `batchscribe up --open` opens signs in, and no other user can read it."""
    http = story.root.removeprefix("http://").rstrip("/")
    file = sign_in_file(tmp_path, Server(address="", api_key=KEY, http=http, redis_url=""))
    assert file.stat().st_mode & 0o077 == 0
    page = await browser.new_page()  # A tab that has no key yet.
    await page.goto(file.as_uri())
    await expect(page.get_by_role("heading", name="New batch")).to_be_visible()


async def test_a_shared_server_needs_no_tls(story: Story) -> None:
    """The page does without what browsers keep for https and localhost."""
    page = story.page
    await page.goto(f"{story.root.replace('127.0.0.1', ELSEWHERE)}#key={KEY}")
    assert await page.evaluate("isSecureContext") is False
    await story.paste(LECTURES[0])
    story.end(LECTURES[0])
    await story.row("lecture-0").get_by_role("link", name=HOSTILE).click()
    await expect(page.get_by_text("Sentence 19 of the lecture.")).to_be_visible()
    await expect(page.get_by_role("button", name="Copy text")).to_be_hidden()


async def test_refusals_stand_beside_their_lines(story: Story) -> None:
    """What is wrong with an address is told with its line, and choosing it selects the line."""
    page = story.page
    await story.paste(LECTURES[0], "", "nonsense")
    await expect(page.get_by_role("alert")).to_contain_text("Line 3")
    await page.get_by_role("button", name="Line 3").click()
    selected = await page.evaluate("getSelection().toString()")
    assert selected == "nonsense"


async def test_the_keyboard_is_enough(story: Story) -> None:
    """A batch can be started and its transcript opened without a mouse."""
    page = story.page
    await page.get_by_label("Videos, playlists or feeds").focus()
    await page.keyboard.type(LECTURES[0])
    for _ in range(5):
        await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Transcribe")).to_be_focused()
    await page.keyboard.press("Enter")
    story.end(LECTURES[0])
    await expect(page.get_by_role("main")).to_be_focused()
    link = story.row("lecture-0").get_by_role("link")
    await expect(story.row("lecture-0")).to_contain_text("Done")
    await page.get_by_role("link", name="Skip to the content").press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()
    await link.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("searchbox")).to_be_visible()


async def test_a_lost_answer_makes_no_second_batch(story: Story) -> None:
    """Who is told that the service is away and sends the same again gets what the first made."""
    page = story.page

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/api/v1/batches", lose, times=1)
    await story.paste(LECTURES[0], name="Linguistics 101")
    await expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    await page.get_by_role("button", name="Transcribe").click()
    await expect(story.row("lecture-0")).to_be_visible()
    await page.get_by_role("link", name="Batchscribe").click()
    await expect(story.row("Linguistics 101")).to_have_count(1)


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_a_phone_shows_everything_without_scrolling_sideways(
    story: Story, colours: str
) -> None:
    """On a narrow screen nothing is wider than the screen, in light and in dark."""
    page = story.page
    await page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
    await page.set_viewport_size({"width": 360, "height": 740})
    await story.paste(f"https://example.org/{'long' * 60}", name="word" * 15)
    await expect(page.get_by_role("progressbar")).to_be_visible()
    assert await _width(page) <= 360
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = [int(part) for part in re.findall(r"\d+", ground)]
    assert (sum(lightness) < 128) == (colours == "dark")


async def test_five_hundred_videos_are_all_there(story: Story) -> None:
    """An ended batch of 500 shows every one of them, and its filters count them."""
    page = story.page
    await story.paste(*(f"https://example.org/{number}/broken" for number in range(500)))
    await expect(page.get_by_text("Ended: 0 of 500 videos done")).to_be_visible(timeout=60_000)
    await page.reload()
    await expect(page.get_by_role("listitem")).to_have_count(500)
    await expect(page.get_by_role("button", name="Not done 500")).to_be_visible()


async def test_the_page_goes_on_after_a_restart(redis_url: str, page: Page) -> None:
    """While the gateway is away the page says so; when another takes over it goes on by itself."""
    story = Story(page)
    lost = page.get_by_text("The connection is lost.")
    async with running(ScriptedTranscriber(story.script)) as transcriber:
        workers = [transcriber.address]
        async with running_gateway(redis_url, workers, http_listen="127.0.0.1:0") as gateway:
            await page.goto(f"http://{gateway.http}/#key={KEY}")
            await story.paste(LECTURES[0])
            await expect(story.row("lecture-0")).to_contain_text("Transcribing")
        await expect(lost).to_be_visible()
        async with running_gateway(redis_url, workers, http_listen=gateway.http):
            story.end(LECTURES[0])
            await expect(page.get_by_text("All done: 1 video.")).to_be_visible(timeout=30_000)
            await expect(lost).to_be_hidden()
            await expect(page.get_by_role("listitem")).to_have_count(1)


async def _width(page: Page) -> int:
    width: int = await page.evaluate("document.documentElement.scrollWidth")
    return width
