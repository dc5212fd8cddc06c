"""What the README tells people to write works as it stands, but for the addresses."""

import asyncio
import json
import re
import sys
from pathlib import Path

from tests import command
from tests.running_stack import up

README = Path(__file__).parents[2] / "README.md"


async def test_python_examples_run(tmp_path: Path, samples_url: str) -> None:
    """Each Python example of the README transcribes a video on a running stack."""
    async with up(tmp_path):
        code = examples(tmp_path, samples_url)
        blocking, watching = [await output_of(example, tmp_path) for example in code]
    assert "mountains" in blocking
    assert watching.splitlines()[-1] == "100%"


def examples(data_dir: Path, samples_url: str) -> list[str]:
    """Return the README's Python code with its addresses and key replaced by real ones."""
    server = json.loads((data_dir / "client.json").read_text())
    real = {
        "https://example.com/talk.mp4": f"{samples_url}/train.mp3",
        "127.0.0.1:50051": server["address"],
        'api_key="..."': f'api_key="{server["api_key"]}"',
    }
    code = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    for said, meant in real.items():
        code = [example.replace(said, meant) for example in code]
    return code


async def output_of(example: str, data_dir: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        example,
        env=command.environment(data_dir),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()
