"""Processes whose clock is wrong or jumps, by libfaketime; time that passes is left alone."""

from pathlib import Path

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
_ALWAYS = {"LD_PRELOAD": str(LIBRARY), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def off_by(seconds: int) -> dict[str, str]:
    """Return the environment of a process whose clock is wrong from its start."""
    return {**_ALWAYS, "FAKETIME": f"{seconds:+d}"}


class Clock:
    """The clock of the process that is started with ``environment``; right until it jumps."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.environment = {
            **_ALWAYS,
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
        }
        self.jump_to(0)

    def jump_to(self, seconds: int) -> None:
        """Be wrong by ``seconds`` from now on."""
        # In one step: the process must not read a file that is half written.
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.rename(self._file)
