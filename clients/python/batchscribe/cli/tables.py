"""What commands show on standard output: tables, and the same as JSON."""

import sys

from batchscribe.cli.delivery import as_json, print_json
from batchscribe.cli.wording import (
    clock,
    name_of,
    number_of,
    printable,
    state_of,
    state_of_batch,
    why_failed,
)
from batchscribe.client import Client
from batchscribe.v1 import batch_pb2, batch_service_pb2
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_ANY = "any"  # No limit.
_ID_WIDTH = 30  # An id is of use only whole.
_WIDE = 1000

# A table that is piped is not cut to a width that nobody sees.
on_stdout = Console(width=None if sys.stdout.isatty() else _WIDE)
on_stderr = Console(stderr=True)


def plain_table(*titles: Column | str) -> Table:
    """Return an empty table as all commands print them."""
    return Table(*titles, box=None, pad_edge=False)


async def show_batches(client: Client, console: Console, limit: int, json_lines: bool) -> None:
    """Print the newest ``limit`` batches."""
    table = plain_table(_id_column("BATCH"), "STATE", "VIDEOS", "CREATED", "NAME")
    count = 0
    async for batch in client.list_batches():
        if count == limit:
            break
        count += 1
        if json_lines:
            print_json(as_json(batch))
        else:
            table.add_row(*_batch_row(batch))
    if not json_lines:
        console.print(table if count else "There are no batches.")


def show_batch(batch: batch_pb2.Batch, console: Console, json_lines: bool) -> None:
    """Print a batch and its videos."""
    if json_lines:
        print_json(as_json(batch))
        return
    table = plain_table("#", "STATE", "LENGTH", _id_column("TRANSCRIPT"), "VIDEO")
    for item in batch.items:
        table.add_row(*_item_row(item))
    done = f", {batch.progress.fraction:.0%}" if batch.progress.fraction < 1 else ""
    console.print(f"{batch.batch_id} {state_of_batch(batch)}{done}", highlight=False)
    console.print(table)


def show_models(models: list[batch_service_pb2.Model], console: Console, json_lines: bool) -> None:
    """Print the models that can be asked for."""
    table = plain_table("MODEL", "LANGUAGES", "")
    for model in models:
        if json_lines:
            print_json(as_json(model))
        else:
            notes = ["default"] * model.is_default + ["loaded"] * model.loaded
            languages = "many" if model.multilingual else "English"
            table.add_row(printable(model.name), languages, ", ".join(notes))
    if not json_lines:
        console.print(table)


def show_quota(quota: batch_service_pb2.Quota, console: Console, json_lines: bool) -> None:
    """Print a user's limits, and what is used of them."""
    if json_lines:
        print_json(as_json(quota))
        return
    reset = f"{quota.reset_time.ToDatetime():%Y-%m-%d} UTC"
    table = plain_table(f"TIER {printable(quota.tier)}", "LIMIT", "USED", "RESERVED", "RESETS")
    table.add_row("videos in a batch", str(quota.max_videos_per_batch))
    table.add_row("videos at a time", str(quota.max_concurrent))
    rate = str(quota.batches_per_minute) if quota.HasField("batches_per_minute") else _ANY
    table.add_row("batches a minute", rate)
    videos = str(quota.monthly_videos) if quota.HasField("monthly_videos") else _ANY
    used, reserved = str(quota.videos_used), str(quota.videos_reserved)
    table.add_row("videos a month", videos, used, reserved, reset)
    audio = clock(quota.monthly_audio.seconds) if quota.HasField("monthly_audio") else _ANY
    table.add_row("audio a month", audio, clock(quota.audio_used.seconds), "", reset)
    console.print(table)


def _id_column(header: str) -> Column:
    return Column(header, no_wrap=True, min_width=_ID_WIDTH)


def _batch_row(batch: batch_pb2.Batch) -> tuple[str | Text, ...]:
    created = batch.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M")
    videos = f"{batch.progress.succeeded}/{batch.progress.total}"
    name = Text(printable(batch.display_name))
    return batch.batch_id, state_of_batch(batch), videos, created, name


def _item_row(item: batch_pb2.BatchItem) -> tuple[str | Text, ...]:
    length = item.audio_duration.ToNanoseconds() / 1e9
    video = f"{name_of(item)}: {why_failed(item)}" if item.HasField("error") else name_of(item)
    return (
        number_of(item),
        state_of(item),
        clock(length) if length else "",
        item.transcription_id,
        Text(video),
    )
