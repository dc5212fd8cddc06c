"""``batchscribe up``: the whole product in the foreground, until it is interrupted."""

import asyncio
from collections.abc import Callable

from batchscribe.local.page import open_page
from batchscribe.local.plan import StackSettings
from batchscribe.local.stack import running


async def stay_up(
    settings: StackSettings, open_browser: bool, announce: Callable[[str], None]
) -> None:
    """Run a stack until this is cancelled, and say what a user should know of it."""
    announce("Starting Redis, a gateway and transcribers.")
    async with running(settings, announce) as server:
        announce(f"Ready. gRPC on {server.address}, page and REST on http://{server.http}.")
        if open_browser and not open_page(settings.data_dir, server):
            announce("There is no browser to open here: open the address above.")
        announce(f"Data, key and logs are in {settings.data_dir}. Ctrl-C stops.")
        try:
            await asyncio.Event().wait()
        finally:
            announce("Stopping: what runs goes on when you start again.")
