"""A short run of the assault; `make abuse` runs all of it."""

import asyncio
import sys

import pytest

SUM = "sentinel_hits=0 internal_errors=0 leaks=0"


@pytest.mark.needs_namespaces
async def test_no_address_file_or_request_does_harm() -> None:
    """Attacks that arrive without a filter do not with it, and no request ends in our fault."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.abuse", "--step", "12", "--requests", "4"),
        stdout=asyncio.subprocess.PIPE,
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    assert said.splitlines()[-1].endswith(SUM)
