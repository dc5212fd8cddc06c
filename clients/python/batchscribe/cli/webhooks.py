"""`deliveries`, `redeliver`, `rotate-secret`: what became of webhooks, and what signs them."""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from batchscribe.cli import session
from batchscribe.cli.delivery import as_json, print_json
from batchscribe.cli.options import BatchArgument, JsonOption, KeyOption, ServerOption
from batchscribe.cli.tables import on_stdout, plain_table
from batchscribe.cli.wording import printable
from batchscribe.client import Client, Delivery
from batchscribe.v1.webhook_service_pb2 import DeliveryState
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.text import Text

commands = typer.Typer()

# A receiver has 15 seconds to answer.
_FIRST_ATTEMPT_SECONDS = 20.0
_POLL_SECONDS = 0.25


@commands.command()
def deliveries(
    batch_id: BatchArgument,
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Show the webhook messages of a batch and what became of them."""
    target = session.Target(server, api_key)
    found = session.ask(target, lambda client: client.deliveries(batch_id))
    show_deliveries(found, on_stdout, json_lines)


@commands.command()
def redeliver(
    webhook_id: Annotated[str, typer.Argument(metavar="WEBHOOK_ID")],
    server: ServerOption = None,
    api_key: KeyOption = None,
    json_lines: JsonOption = False,
) -> None:
    """Send a webhook message again at once."""
    target = session.Target(server, api_key)
    delivery = session.ask(target, lambda client: client.redeliver(webhook_id))
    show_deliveries([delivery], on_stdout, json_lines)


@commands.command()
def rotate_secret(
    server: ServerOption = None, api_key: KeyOption = None, json_lines: JsonOption = False
) -> None:
    """Make and print a new secret for your webhooks; the old one signs for 24 hours more."""
    rotated = session.ask(session.Target(server, api_key), Client.rotate_webhook_secret)
    if json_lines:
        print_json(as_json(rotated))
    else:
        print(rotated.secret)


async def say_first_attempts(client: Client, batch_ids: Sequence[str], console: Console) -> None:
    """Say what came of the webhook of each batch that has ended, when it has been sent once."""
    for batch_id in batch_ids:
        session.say(console, _told(await _sent_once(client, batch_id), batch_id))


async def _sent_once(client: Client, batch_id: str) -> Delivery:
    """Return the newest message of a batch; after some time as it is then."""
    give_up_at = time.monotonic() + _FIRST_ATTEMPT_SECONDS
    while True:
        newest, *_ = await client.deliveries(batch_id)
        is_pending = newest.state == DeliveryState.DELIVERY_STATE_PENDING
        if not is_pending or newest.last_error or time.monotonic() > give_up_at:
            return newest
        await asyncio.sleep(_POLL_SECONDS)


def _told(delivery: Delivery, batch_id: str) -> str:
    if delivery.state == DeliveryState.DELIVERY_STATE_DELIVERED:
        return "The webhook has been delivered."
    why = printable(delivery.last_error) or "There was no answer yet."
    if delivery.state == DeliveryState.DELIVERY_STATE_FAILED:
        return f"The webhook has failed for good. {why}"
    return (
        f"The webhook has not been delivered. {why} While the server runs it is tried again: "
        f"batchscribe deliveries {batch_id}"
    )


def show_deliveries(found: list[Delivery], console: Console, json_lines: bool) -> None:
    """Print webhook messages, newest first."""
    table = plain_table("MESSAGE", "STATE", "TRIES", "NEXT (UTC)", "LAST")
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
