"""A job: some videos as one batch or several, followed until all of them have ended."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from batchscribe.cli import progress, session, webhooks
from batchscribe.cli.delivery import Delivery, as_json, print_json
from batchscribe.cli.files import TranscriptFolder
from batchscribe.cli.overview import Overview
from batchscribe.cli.wording import printable
from batchscribe.client import Client
from batchscribe.client.errors import FieldViolation, InvalidRequest, ResourceExhausted
from batchscribe.client.states import ENDED_ITEM_STATES
from batchscribe.v1 import batch_pb2
from rich.console import Console

Deliver = Callable[[str, batch_pb2.BatchItem], Awaitable[None]]

# A server that does not say how long to wait counts batches by the minute.
LONGEST_RATE_WAIT_SECONDS = 60.0

_FIELD_OF_VIDEO = re.compile(r"^videos\[(\d+)\]")


@dataclass(frozen=True)
class Job:
    """What ``batchscribe transcribe`` was asked for."""

    videos: Sequence[batch_pb2.VideoSpec]
    options: batch_pb2.BatchOptions
    file_format: str
    folder: TranscriptFolder | None
    json_lines: bool


async def carry_out(job: Job, here: session.Session, console: Console) -> bool:
    """Submit the job, show it, deliver its transcripts; True if every video succeeded."""
    announce = partial(session.say, console)
    batches = await submit(here.client, job.videos, job.options, announce)
    batch_ids = [batch.batch_id for batch in batches]
    delivery = Delivery(here.client, job.file_format, job.folder, job.json_lines)
    display = progress.on(console, plain=job.json_lines)
    overview = await _attend(here, batch_ids, display, delivery.take, console)
    delivery.flush(batch_ids)
    session.say(console, _summary(overview, job.folder))
    if job.options.notify_webhook:
        await webhooks.say_first_attempts(here.client, batch_ids, console)
    return overview.succeeded == overview.total


async def look_on(here: session.Session, batch_id: str, console: Console, json_lines: bool) -> bool:
    """Show a batch until it ends; True if every video succeeded."""

    async def print_item(batch_id: str, item: batch_pb2.BatchItem) -> None:
        if json_lines:
            print_json(as_json(item) | {"batch_id": batch_id})

    display = progress.on(console, plain=json_lines)
    overview = await _attend(here, [batch_id], display, print_item, console)
    session.say(console, _summary(overview, None))
    return overview.succeeded == overview.total


async def _attend(
    here: session.Session,
    batch_ids: Sequence[str],
    display: progress.ProgressDisplay,
    deliver: Deliver,
    console: Console,
) -> Overview:
    try:
        with display:
            return await follow(here.client, batch_ids, display, deliver)
    except asyncio.CancelledError:
        session.say(console, here.farewell(batch_ids))
        raise


async def submit(
    client: Client,
    videos: Sequence[batch_pb2.VideoSpec],
    options: batch_pb2.BatchOptions,
    announce: Callable[[str], None],
) -> list[batch_pb2.Batch]:
    """Create one batch, or as many as the server's limit asks for; none if a video is refused."""
    create = partial(_create_in_time, client, options, announce)
    try:
        return [await create(videos)]
    except InvalidRequest as error:
        limit = int(error.metadata.get("maxVideosPerBatch", 0))
        if not 0 < limit < len(videos):
            raise _naming_videos(error, videos) from error
    parts = [videos[start : start + limit] for start in range(0, len(videos), limit)]
    for part in parts:
        try:
            await client.create_batch(part, options=options, validate_only=True)
        except InvalidRequest as error:
            raise _naming_videos(error, part) from error
    return [await create(part) for part in parts]


async def _create_in_time(
    client: Client,
    options: batch_pb2.BatchOptions,
    announce: Callable[[str], None],
    videos: Sequence[batch_pb2.VideoSpec],
) -> batch_pb2.Batch:
    """Create a batch as soon as the server's rate allows it."""
    while True:
        try:
            return await client.create_batch(videos, options=options)
        except ResourceExhausted as error:
            if error.reason != "RATE_LIMITED":
                raise
            announce(f"{printable(error.message)} Waiting; Ctrl-C gives up.")
            await asyncio.sleep(error.retry_after_seconds or LONGEST_RATE_WAIT_SECONDS)


async def follow(
    client: Client, batch_ids: Sequence[str], display: progress.ProgressDisplay, deliver: Deliver
) -> Overview:
    """Watch all batches at once until they end, and ``deliver`` every video when it ends."""
    overview = Overview()

    async def follow_one(batch_id: str) -> None:
        async with contextlib.aclosing(client.watch(batch_id)) as events:
            async for event in events:
                changed = overview.apply(batch_id, event)
                display.show(overview, changed)
                for item in changed:
                    if item.state in ENDED_ITEM_STATES:
                        await deliver(batch_id, item)

    await asyncio.gather(*(follow_one(batch_id) for batch_id in batch_ids))
    return overview


def _summary(overview: Overview, folder: TranscriptFolder | None) -> str:
    place = f" The transcripts are in {folder.path}." if folder and overview.succeeded else ""
    cut = "".join(
        f"\nOnly the first videos of {printable(url)}: there are more than a batch may have."
        for url in overview.cut_playlists
    )
    return f"{overview.succeeded} of {overview.total} videos succeeded.{place}{cut}"


def _naming_videos(error: InvalidRequest, videos: Sequence[batch_pb2.VideoSpec]) -> InvalidRequest:
    """Put the address beside each ``videos[3]``, which says little on a command line."""

    def named(violation: FieldViolation) -> FieldViolation:
        place = _FIELD_OF_VIDEO.match(violation.field)
        if place is None or int(place[1]) >= len(videos):
            return violation
        return replace(violation, field=f"{violation.field} ({videos[int(place[1])].url})")

    return replace(error, violations=tuple(named(violation) for violation in error.violations))
