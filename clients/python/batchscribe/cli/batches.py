"""`watch`, `list`, `get`, `cancel`, `retry`, `delete`: batches that exist already."""

from typing import Annotated

import typer
from batchscribe.cli import delivery, jobs, session, tables
from batchscribe.cli.files import TranscriptFolder
from batchscribe.cli.options import (
    BatchArgument,
    FolderOption,
    FormatOption,
    JsonOption,
    KeyOption,
    ServerOption,
)
from batchscribe.cli.tables import on_stderr, on_stdout
from batchscribe.client import Client

commands = typer.Typer()


@commands.command()
def watch(
    batch_id: BatchArgument,
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Follow a batch until it ends."""

    async def follow(client: Client) -> bool:
        return await jobs.look_on(session.Session(client), batch_id, on_stderr, json_lines)

    if not session.ask(session.Target(server, api_key), follow):
        raise typer.Exit(1)


@commands.command("list")
def list_batches(
    limit: Annotated[int, typer.Option(min=1, help="The most batches to list.")] = 20,
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """List your batches, newest first."""

    async def show(client: Client) -> None:
        await tables.show_batches(client, on_stdout, limit, json_lines)

    session.ask(session.Target(server, api_key), show)


@commands.command()
def get(
    batch_id: Annotated[str, typer.Argument(metavar="BATCH_ID|TRANSCRIPT_ID")],
    file_format: FormatOption = "txt",
    output: FolderOption = None,
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Show a batch, or with -o fetch its transcripts; of a transcript's id, print the text."""
    is_transcript = batch_id.startswith("trans_")
    if output and is_transcript:
        raise session.Misuse("-o fetches the transcripts of a batch: give it the id of one.")
    folder = TranscriptFolder(output, file_format) if output else None

    async def show(client: Client) -> None:
        if is_transcript:
            await delivery.print_transcript(client, batch_id, file_format, json_lines)
            return
        batch = await client.get_batch(batch_id)
        if folder:
            await delivery.Delivery(client, file_format, folder, json_lines).take_all(batch)
        else:
            tables.show_batch(batch, on_stdout, json_lines)

    session.ask(session.Target(server, api_key), show)


@commands.command()
def cancel(
    batch_id: BatchArgument,
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Stop a batch; what has ended stays."""
    target = session.Target(server, api_key)
    batch = session.ask(target, lambda client: client.cancel(batch_id))
    tables.show_batch(batch, on_stdout, json_lines)


@commands.command()
def retry(
    batch_id: BatchArgument,
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Run what has failed in a batch again; `watch` follows it."""
    target = session.Target(server, api_key)
    batch = session.ask(target, lambda client: client.retry(batch_id))
    tables.show_batch(batch, on_stdout, json_lines)


@commands.command()
def delete(batch_id: BatchArgument, server: ServerOption = None, api_key: KeyOption = None) -> None:
    """Delete a batch that has ended, and its transcripts, for good."""
    session.ask(session.Target(server, api_key), lambda client: client.delete(batch_id))
    session.say(on_stderr, f"{batch_id} and its transcripts are deleted.")
