"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from batchscribe.client import discovery

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
