"""Where transcripts go: files in a directory, text on standard output, or JSON lines."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batchscribe.cli.files import TranscriptFolder, part_of
from batchscribe.cli.wording import name_of
from batchscribe.client import Client
from batchscribe.v1 import batch_pb2, transcript_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def print_json(document: dict[str, object]) -> None:
    print(json.dumps(document, ensure_ascii=False), flush=True)


def as_json(message: Message) -> dict[str, object]:
    """Return a message in proto3 JSON with the field names of the contract."""
    return MessageToDict(message, preserving_proto_field_name=True)


async def print_transcript(
    client: Client, transcription_id: str, file_format: str, json_lines: bool
) -> None:
    if json_lines:
        print_json(as_json(await client.transcript(transcription_id)))
    else:
        text = await client.export(transcription_id, file_format)
        print(text.decode().rstrip("\n"))


async def write_file(
    client: Client, folder: TranscriptFolder, item: batch_pb2.BatchItem
) -> tuple[Path, transcript_pb2.Transcript]:
    """Put the transcript of a video into ``folder`` and return where it is, and what it says."""
    transcript, data = await asyncio.gather(
        client.transcript(item.transcription_id),
        client.export(item.transcription_id, folder.file_format),
    )
    source = transcript.source
    address = part_of(item.url, transcript.provenance.options.clip)
    return folder.write(address, source.title, source.source_id, data), transcript


@dataclass
class Delivery:
    """Takes each video of a job as it ends.

    Files and JSON are written at once; text waits for ``flush``, in the order of the request, so
    that it does not run into the progress display.
    """

    client: Client
    file_format: str
    folder: TranscriptFolder | None = None
    json_lines: bool = False
    _texts: dict[tuple[str, int, int], tuple[str, str]] = field(default_factory=dict)

    async def take(self, batch_id: str, item: batch_pb2.BatchItem) -> None:
        extra: dict[str, object] = {"batch_id": batch_id}
        if item.state == batch_pb2.ITEM_STATE_SUCCEEDED:
            extra |= await self._take_transcript(batch_id, item)
        if self.json_lines:
            print_json(as_json(item) | extra)

    async def take_all(self, batch: batch_pb2.Batch) -> None:
        """Take every video of a batch that has a transcript by now."""
        for item in batch.items:
            if item.state == batch_pb2.ITEM_STATE_SUCCEEDED:
                await self.take(batch.batch_id, item)

    def flush(self, batch_ids: Sequence[str]) -> None:
        """Print the texts that were kept back, each under its title if there are several."""
        in_order = sorted(self._texts.items(), key=lambda it: (batch_ids.index(it[0][0]), it[0]))
        for _, (name, text) in in_order:
            print(f"# {name}\n\n{text}" if len(in_order) > 1 else text.rstrip("\n"))
        sys.stdout.flush()

    async def _take_transcript(self, batch_id: str, item: batch_pb2.BatchItem) -> dict[str, object]:
        if self.folder:
            path, _ = await write_file(self.client, self.folder, item)
            return {"file": str(path)}
        if self.json_lines:
            return {"transcript": as_json(await self.client.transcript(item.transcription_id))}
        text = await self.client.export(item.transcription_id, self.file_format)
        place = batch_id, item.index, item.playlist.place
        self._texts[place] = (name_of(item), text.decode())
        return {}
