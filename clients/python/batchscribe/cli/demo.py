"""``batchscribe demo``: the whole product on the bundled samples, with nothing but this machine.

It proves what it shows: every spoken sample has to succeed, and the one without an audio track
has to fail with NO_AUDIO.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from batchscribe.cli import jobs, progress, session
from batchscribe.cli.delivery import write_file
from batchscribe.cli.files import TranscriptFolder
from batchscribe.cli.wording import name_of, printable, why_failed
from batchscribe.client import Client
from batchscribe.local.plan import StackSettings
from batchscribe.local.stack import running
from batchscribe.v1 import batch_pb2
from rich.console import Console

_MODEL = "tiny.en"
_NO_AUDIO = "NO_AUDIO"


async def run_demo(samples: Path, folder: Path, console: Console) -> bool:
    """Transcribe the samples in a stack of their own below ``folder``; True if all is as it must.

    ``samples`` holds media files and ``texts.json``, which says for each whether it has sound.
    """
    has_audio = {name: clip["audio"] for name, clip in _clips(samples).items()}
    settings = StackSettings(
        folder, model=_MODEL, http_port=0, media_root=samples, keeps_batches=False
    )
    output = folder / "transcripts"
    shutil.rmtree(output, ignore_errors=True)
    session.say(console, "Starting Redis, a gateway and a transcriber on this machine.")
    async with (
        running(settings, partial(session.say, console)) as server,
        Client(server.address, server.api_key) as client,
    ):
        results = _Results(client, TranscriptFolder(output, "srt"))
        urls = [(samples / name).absolute().as_uri() for name in has_audio]
        batch = await client.create_batch(urls)
        session.say(console, f"Batch {batch.batch_id}: {len(urls)} videos, {_MODEL}.")
        session.say(
            console,
            f"The page is at http://{server.http} meanwhile; `batchscribe up --open` opens yours.",
        )
        with progress.on(console) as display:
            await jobs.follow(client, [batch.batch_id], display, results.take)
    results.print_all()
    session.say(console, f"The subtitles are in {output}.")
    return all(_is_as_expected(item, has_audio) for item, _ in results.ended.values())


@dataclass
class _Results:
    """The videos that have ended, by index, with their text."""

    client: Client
    folder: TranscriptFolder
    ended: dict[int, tuple[batch_pb2.BatchItem, str]] = field(default_factory=dict)

    async def take(self, batch_id: str, item: batch_pb2.BatchItem) -> None:
        text = ""
        if item.state == batch_pb2.ITEM_STATE_SUCCEEDED:
            _, transcript = await write_file(self.client, self.folder, item)
            text = transcript.text
        self.ended[item.index] = (item, text)

    def print_all(self) -> None:
        for _, (item, text) in sorted(self.ended.items()):
            print(f"\n# {name_of(item)}\n{printable(text) or _failure(item)}")
        print(flush=True)


def _failure(item: batch_pb2.BatchItem) -> str:
    meant = " (as it should: this sample has no sound)" if item.error.reason == _NO_AUDIO else ""
    return f"failed{meant}: {why_failed(item)}"


def _is_as_expected(item: batch_pb2.BatchItem, has_audio: Mapping[str, bool]) -> bool:
    if has_audio[item.url.rpartition("/")[2]]:
        return item.state == batch_pb2.ITEM_STATE_SUCCEEDED
    return item.state == batch_pb2.ITEM_STATE_FAILED and item.error.reason == _NO_AUDIO


def _clips(samples: Path) -> dict[str, dict[str, bool]]:
    try:
        clips: dict[str, dict[str, bool]] = json.loads((samples / "texts.json").read_text())
    except FileNotFoundError as error:
        raise session.Misuse(
            f"There are no samples in {samples}. Run the demo in a clone of the project, "
            "or name its folder with --samples."
        ) from error
    return clips
