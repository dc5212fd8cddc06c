"""What users have had in a month as a file, a line for each: CSV, or JSON lines."""

import csv
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TextIO

from gateway.store import Usage

Row = Mapping[str, str | int | float]


class FileFormat(StrEnum):
    """How the lines are written."""

    CSV = "csv"
    JSONL = "jsonl"


FIELDS = ("month", "user", "videos", "audio_seconds", "reserved")


def row(user: str, usage: Usage) -> Row:
    """Return one user's line; ``reserved`` are videos that may still be added to ``videos``."""
    values = (usage.month, user, usage.videos, usage.audio_ms / 1000, usage.reserved)
    return dict(zip(FIELDS, values, strict=True))


def write(rows: Iterable[Row], file_format: FileFormat, out: TextIO) -> None:
    """Write ``rows``; CSV begins with the names of the fields."""
    if file_format is FileFormat.JSONL:
        out.writelines(json.dumps(row) + "\n" for row in rows)
        return
    table = csv.DictWriter(out, FIELDS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
