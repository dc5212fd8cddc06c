"""The examples of docs/clients.md, run as they are printed."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests import typescript
from tests.running_gateway import KEY, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clients.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
async def environment(redis_url: str) -> AsyncIterator[Mapping[str, str]]:
    """The variables that lead a client to a gateway."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(redis_url, [transcriber.address]) as gateway,
    ):
        yield {
            **os.environ,
            "BATCHSCRIBE_SERVER": gateway.address,
            "BATCHSCRIBE_API_KEY": KEY,
        }


async def _printed(environment: Mapping[str, str], *command: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    said, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return said.decode()


async def test_the_examples_in_python_run(environment: Mapping[str, str]) -> None:
    """Each example does what the page says of it."""
    blocking, watching, refused = [
        await _printed(environment, sys.executable, "-c", block) for block in _blocks("python")
    ]
    assert "https://example.com/2.mp4 Hello." in blocking
    assert "-->" in watching
    assert "videos[0].url" in refused


@pytest.mark.needs_npm_packages
async def test_the_example_in_typescript_runs(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    """The example follows its batch to the end."""
    (block,) = _blocks("ts")
    source = (typescript.FOLDER / "src" / "index.ts").as_uri()
    program = tmp_path / "example.ts"
    program.write_text(block.replace('"@batchscribe/client"', f'"{source}"'))
    said = await _printed(environment, typescript.NODE, program)
    assert "https://example.com/2.mp4 SUCCEEDED" in said
