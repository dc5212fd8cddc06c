"""Usage as a file."""

import csv
import io
import json

import pytest

from gateway.store import Usage
from gateway.usage_export import FileFormat, row, write

ROWS = [
    row("ann", Usage(0, "2026-11", reserved=1, videos=12, audio_ms=61_500)),
    row("bob", Usage(0, "2026-11", reserved=0, videos=0, audio_ms=0)),
]


@pytest.mark.parametrize("file_format", FileFormat)
def test_a_program_reads_what_was_written(file_format: FileFormat) -> None:
    """Each user is a line with named values, audio in seconds."""
    out = io.StringIO()
    write(ROWS, file_format, out)
    lines = out.getvalue().splitlines()
    is_csv = file_format is FileFormat.CSV
    first = next(csv.DictReader(lines)) if is_csv else json.loads(lines[0])
    assert {name: str(value) for name, value in first.items()} == {
        "month": "2026-11",
        "user": "ann",
        "videos": "12",
        "audio_seconds": "61.5",
        "reserved": "1",
    }
    assert len(lines) == len(ROWS) + is_csv
