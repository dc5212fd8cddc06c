"""Protobuf messages on a socket pair, each behind its length in four bytes, big-endian.

The parent reads with asyncio, a child with a plain file; both end with None at end of file. A child
that media has taken over may send anything: the parent believes no length beyond what is sent.
"""

import asyncio
import struct
from typing import BinaryIO

from google.protobuf.message import Message

_LENGTH = struct.Struct(">I")
_MOST_BYTES = 64 * 1024 * 1024  # A 10-hour transcript with words is 3.9 MiB.


def pack(message: Message) -> bytes:
    """Return ``message`` with its length in front."""
    body = message.SerializeToString()
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next body, or None once the other end has gone or makes no sense."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return await reader.readexactly(length) if length <= _MOST_BYTES else None
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def read_frame_from(file: BinaryIO) -> bytes | None:
    """Return the next body, waiting for it; None once the other end has gone."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = file.read(length)
    return body if len(body) == length else None
