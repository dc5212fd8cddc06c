"""What a person does on the page, and a transcriber that does its work when it is told to."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from batchscribe.transcriber.v1.transcriber_service_pb2 import (
    TaskStage,
    TranscribeRequest,
    TranscribeResponse,
)
from playwright.async_api import Locator, Page

from tests.scripted_transcriber import ScriptedTranscriber, failed, succeeded

HOSTILE = "<img src=x onerror='window.owned=1'><script>window.owned=1</script>"
SECONDS = 600
# Plain http from here is not a secure context, which the same from 127.0.0.1 is.
ELSEWHERE = "batchscribe.test"


@dataclass
class Story:
    """The page, and for each video whether its transcriber may end; ``root`` is the page's own."""

    page: Page
    root: str = ""
    may_end: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )

    async def script(
        self, transcriber: ScriptedTranscriber, request: TranscribeRequest
    ) -> TranscribeResponse:
        """Get halfway, then wait; what is called broken fails."""
        if request.url.endswith("broken"):
            return failed()
        halfway = SECONDS / 2
        transcriber.report(request, TaskStage.TASK_STAGE_TRANSCRIBING, halfway, SECONDS)
        await self.may_end[request.url].wait()
        return transcribed(request.url)

    def end(self, *urls: str) -> None:
        """Let the transcriber end these videos."""
        for url in urls:
            self.may_end[url].set()

    async def paste(self, *urls: str, name: str = "") -> None:
        """Give addresses and start."""
        await self.page.get_by_label("Videos, playlists or feeds").fill("\n".join(urls))
        await self.page.get_by_label("Name").fill(name)
        await self.page.get_by_role("button", name="Transcribe").click()

    def row(self, text: str) -> Locator:
        return self.page.get_by_role("listitem").filter(has_text=text)


def transcribed(url: str) -> TranscribeResponse:
    """Return a transcript of twenty segments whose title is an attack."""
    response = succeeded(SECONDS)
    transcript = response.transcript
    transcript.source.url = url
    transcript.source.title = f"{HOSTILE} {url}"
    del transcript.segments[:]
    for index in range(20):
        segment = transcript.segments.add(index=index, text=f" Sentence {index} of the lecture.")
        segment.start_offset.FromSeconds(index * 30)
        segment.end_offset.FromSeconds(index * 30 + 29)
    transcript.text = "".join(segment.text for segment in transcript.segments)
    return response
