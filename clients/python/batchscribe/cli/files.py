"""Transcripts as files: safe names, and which address is already there.

A hidden index in the directory remembers the file of each address and format, so that a job
that is run again transcribes only what is missing.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from batchscribe.cli.wording import printable
from batchscribe.v1 import batch_pb2

_INDEX_NAME = ".batchscribe.json"
_UNSAFE = re.compile(r'[/\\:*?"<>|]+')
_NAME_BYTES = 180  # File systems allow 255; the id, the extension and a counter need room.


@dataclass(frozen=True)
class TranscriptFolder:
    """The transcripts of one ``file_format`` in the directory ``path``."""

    path: Path
    file_format: str

    def find(self, url: str) -> Path | None:
        """Return the file of an address if it was written here before and is still there."""
        name = self._index().get(url, {}).get(self.file_format)
        return self.path / name if name and (self.path / name).exists() else None

    def write(self, url: str, title: str, source_id: str, data: bytes) -> Path:
        """Write a transcript as ``<title> [<id>].<format>`` and return its path."""
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.find(url) or self._free_path(file_stem(title, source_id))
        path.write_bytes(data)
        index = self._index()
        index.setdefault(url, {})[self.file_format] = path.name
        self._write_index(index)
        return path

    def _free_path(self, stem: str) -> Path:
        path, count = self.path / f"{stem}.{self.file_format}", 1
        while path.exists():
            count += 1
            path = self.path / f"{stem} ({count}).{self.file_format}"
        return path

    def _index(self) -> dict[str, dict[str, str]]:
        try:
            index: dict[str, dict[str, str]] = json.loads((self.path / _INDEX_NAME).read_text())
        except (FileNotFoundError, ValueError):  # ValueError: somebody else has written it.
            return {}
        return index

    def _write_index(self, index: dict[str, dict[str, str]]) -> None:
        draft = self.path / f"{_INDEX_NAME}.new"
        draft.write_text(json.dumps(index, indent=1, ensure_ascii=False))
        draft.replace(self.path / _INDEX_NAME)


def part_of(url: str, clip: batch_pb2.Clip | None) -> str:
    """Return the address of a part of what is at ``url``, by which its file is found again."""
    if not clip or not clip.ByteSize():
        return url
    end = clip.end_offset.ToJsonString() if clip.HasField("end_offset") else ""
    return f"{url}#t={clip.start_offset.ToJsonString()},{end}"


def file_stem(title: str, source_id: str) -> str:
    """Return ``<title> [<id>]`` without anything that leaves the directory or hides the file."""
    return f"{_safe(title) or 'untitled'} [{_safe(source_id) or 'unknown'}]"


def _safe(text: str) -> str:
    plain = _UNSAFE.sub("_", printable(text)).strip(". ")
    return plain.encode()[:_NAME_BYTES].decode(errors="ignore").strip()
