"""Options that several commands share."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer
from batchscribe.client import discovery
from batchscribe.v1 import batch_pb2
from google.protobuf.duration_pb2 import Duration

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        help=f"The server; default {discovery.SERVER_VARIABLE}, else the one that runs here.",
    ),
]


def _content(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} holds no key: it is no text.") from None


# A file, as every user of a machine can read the arguments of a command.
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key-file",
        parser=_content,
        metavar="FILE",
        help=f"File with its key; default {discovery.API_KEY_VARIABLE}.",
    ),
]
_TIME = r"(?:(?:\d+:)?\d+:)?\d+(?:\.\d+)?"
_CLIP = re.compile(rf"({_TIME})?-({_TIME})?")


def _clip(text: str) -> batch_pb2.Clip:
    found = _CLIP.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text} is no part such as 90-180, 1:30-3:00, 1:02:03- or -60.")
    start, end = found.groups()
    return batch_pb2.Clip(
        start_offset=_duration(start) if start else None, end_offset=_duration(end) if end else None
    )


def _duration(text: str) -> Duration:
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration


ClipOption = Annotated[
    batch_pb2.Clip | None,
    typer.Option(
        "--clip",
        parser=_clip,
        metavar="START-END",
        help="Only this part of each video, in seconds or as 1:02:03; without END to the end.",
    ),
]
BatchArgument = Annotated[str, typer.Argument(metavar="BATCH_ID")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on standard output.")]
FormatOption = Annotated[
    Literal["txt", "srt", "vtt", "json", "jsonl"],
    typer.Option("--format", help="File format of the transcripts."),
]
FolderOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="DIR", help="Write a file for each video into DIR."),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(help=f"Where all is kept; default {discovery.DATA_DIR_VARIABLE}, else by XDG."),
]
RedisOption = Annotated[
    str,
    typer.Option(envvar="BATCHSCRIBE_REDIS_URL", help="Use the Redis at this address, start none."),
]
