"""The SDK's watch through a crash of the real gateway."""

import json
import os
import signal
from pathlib import Path

from batchscribe.client import Client, WatchBatchResponse
from batchscribe.client.discovery import Server
from batchscribe.client.states import is_last

from tests.process_tree import descendants
from tests.running_stack import pid_of, up

SPEAKING = ("lighthouse.mp4", "bread.webm", "rain.m4a", "train.mp3")
STORED = {"snapshot", "item_changed", "batch_changed"}


async def test_a_watch_sees_every_change_through_a_crash(tmp_path: Path, samples_url: str) -> None:
    """The gateway dies mid-batch; the watch sees each revision once, up to the batch's end."""
    async with up(tmp_path) as process:
        server = Server(**json.loads((tmp_path / "client.json").read_text()))
        async with Client(server.address, server.api_key) as client:
            batch = await client.create_batch([f"{samples_url}/{name}" for name in SPEAKING])
            seen: list[WatchBatchResponse] = []
            async for event in client.watch(batch.batch_id):
                if event.WhichOneof("event") not in STORED:
                    continue
                seen.append(event)
                if len(seen) == 4:
                    gateway = pid_of("gateway", descendants(process.pid))
                    os.kill(gateway, signal.SIGKILL)
    revisions = [event.revision for event in seen]
    assert revisions == list(range(revisions[0], revisions[0] + len(revisions)))
    assert is_last(seen[-1])
    assert seen[-1].progress.succeeded == len(SPEAKING)
