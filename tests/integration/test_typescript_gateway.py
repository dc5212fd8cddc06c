"""The TypeScript client and a whole gateway."""

import asyncio
import contextlib

import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest, TranscribeResponse

from tests.running_gateway import KEY, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running, succeeded
from tests.support import free_port
from tests.typescript import driven, said

pytestmark = pytest.mark.needs_npm_packages

URLS = [f"https://example.com/{n}.mp4" for n in range(3)]


async def test_a_batch_is_created_and_watched_to_its_end(redis_url: str) -> None:
    """What the client creates runs, and its watch begins with a snapshot and ends with the end."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        (batch,) = await said(gateway.address, "create", *URLS, apiKey=KEY)
        events = await said(gateway.address, "watch", batch["batchId"], apiKey=KEY)
    assert [item["url"] for item in batch["items"]] == URLS
    assert events[0]["event"] == "snapshot"
    assert events[-1]["event"] in ("snapshot", "batchChanged")


async def test_a_watch_outlives_the_gateway(redis_url: str) -> None:
    """While one gateway ends and another begins no revision is missed and none comes twice."""
    may_end = asyncio.Event()

    async def script(_: ScriptedTranscriber, request: TranscribeRequest) -> TranscribeResponse:
        if request.url != URLS[0]:
            await may_end.wait()
        return succeeded()

    listen = f"127.0.0.1:{free_port()}"
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        transcriber = await stack.enter_async_context(running(ScriptedTranscriber(script)))
        workers = [transcriber.address]
        gateway = await first.enter_async_context(
            running_gateway(redis_url, workers, listen=listen)
        )
        batch = await gateway.create(*URLS)
        watch = driven(listen, "watch", batch.batch_id, apiKey=KEY)
        program = await stack.enter_async_context(watch)
        seen = [await program.line()]
        await first.aclose()
        gateway = await stack.enter_async_context(
            running_gateway(redis_url, workers, listen=listen)
        )
        may_end.set()
        seen += await program.all()
        last = (await gateway.batch(batch.batch_id)).revision
    stored = [line["revision"] for line in seen if line["event"] != "progressUpdate"]
    assert stored == list(range(stored[0], last + 1))


async def test_a_key_that_opens_nothing_has_its_reason(redis_url: str) -> None:
    """The gateway's own refusal arrives with the word for programs."""
    async with running_gateway(redis_url) as gateway:
        (failure,) = await said(gateway.address, "models")
    assert (failure["code"], failure["reason"]) == ("Unauthenticated", "TOKEN_MISSING")
