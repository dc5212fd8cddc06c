"""A file of samples, read piece by piece: what nobody asks for takes no memory."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
_BYTES = 2


class SampleFile:
    """16-bit little-endian samples, mono, 16 kHz. Any thread may read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.length = path.stat().st_size // _BYTES

    def read(self, start: int, end: int) -> Pcm:
        """Return int16[end - start]."""
        # Not a memory map: its pages would count as ours, up to the whole file.
        return np.fromfile(self._path, "<i2", end - start, offset=start * _BYTES)
