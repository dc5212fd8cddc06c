"""`deliveries`, `redeliver`, `rotate-secret`: what became of webhooks, and what signs them."""

from typing import Annotated

import typer
from batchscribe.cli import session
from batchscribe.cli.delivery import as_json, print_json
from batchscribe.cli.options import BatchArgument, JsonOption, KeyOption, ServerOption
from batchscribe.cli.wording import printable
from batchscribe.client import Delivery
from batchscribe.v1.webhook_service_pb2 import DeliveryState
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

commands = typer.Typer()
on_stdout = Console()


@commands.command()
def deliveries(
    batch_id: BatchArgument,
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Show the webhook messages of a batch and what became of them."""

    async def work() -> None:
        async with session.connected(session.Target(server, api_key)) as client:
            show_deliveries(await client.deliveries(batch_id), on_stdout, json_lines)

    session.run(work())


@commands.command()
def redeliver(
    webhook_id: Annotated[str, typer.Argument(metavar="WEBHOOK_ID")],
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Send a webhook message again at once."""

    async def work() -> None:
        async with session.connected(session.Target(server, api_key)) as client:
            show_deliveries([await client.redeliver(webhook_id)], on_stdout, json_lines)

    session.run(work())


@commands.command()
def rotate_secret(
    server: ServerOption = None, api_key: KeyOption = None, json_lines: JsonOption = False
) -> None:
    """Make and print a new secret for your webhooks; the old one signs for 24 hours more."""

    async def work() -> None:
        async with session.connected(session.Target(server, api_key)) as client:
            rotated = await client.rotate_webhook_secret()
        if json_lines:
            print_json(as_json(rotated))
        else:
            print(rotated.secret)

    session.run(work())


def show_deliveries(found: list[Delivery], console: Console, json_lines: bool) -> None:
    """Print webhook messages, newest first."""
    table = Table("MESSAGE", "STATE", "TRIES", "NEXT (UTC)", "LAST", box=None, pad_edge=False)
    for delivery in found:
        if json_lines:
            print_json(as_json(delivery))
        else:
            table.add_row(*_row(delivery))
    if not json_lines:
        nothing = "No message: the batch has not ended, or it asked for no webhook."
        console.print(table if found else nothing)


def _row(delivery: Delivery) -> tuple[str | Text, ...]:
    state = DeliveryState.Name(delivery.state).removeprefix("DELIVERY_STATE_").lower()
    due = _clock(delivery.next_attempt_time) if delivery.HasField("next_attempt_time") else ""
    status = str(delivery.last_http_status or "")
    last = Text(printable(delivery.last_error or status))
    return delivery.webhook_id, state, str(delivery.attempt_count), due, last


def _clock(time: Timestamp) -> str:
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
