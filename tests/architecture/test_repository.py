"""What the repository says of itself holds, on any machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, files

README = (ROOT / "README.md").read_text()
COMMAND_BLOCKS = re.findall(r"^```(?:console|sh)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ (.+)$", "\n".join(COMMAND_BLOCKS), re.MULTILINE)


def test_no_file_names_this_machine() -> None:
    """No text holds the path of this clone or of its owner's home."""
    places = [place for place in (str(ROOT), str(Path.home())) if len(place) > 1]
    patterns = [word for place in places for word in ("-e", place)]
    found = subprocess.run(
        ["git", "grep", "-lIF", *patterns], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert not found.stdout


def test_make_targets_of_the_readme_exist() -> None:
    """Every ``make`` command of the README names a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for command in COMMANDS for word in re.findall(r"^make ([a-z-]+)", command)}
    assert named
    assert named <= targets


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if re.match("batchscribe [a-z]", command)]
)
def test_batchscribe_commands_of_the_readme_exist(command: str) -> None:
    """Every ``batchscribe`` command of the README exists, with its options."""
    script = Path(sys.executable).with_name("batchscribe")
    help_text = subprocess.run(
        [script, command.split()[1], "--help"],
        env={"COLUMNS": "200", "NO_COLOR": "1"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert [option for option in re.findall(r"--[a-z-]+", command) if option not in help_text] == []


@pytest.mark.parametrize("service", ["gateway", "transcriber"])
def test_an_image_holds_what_was_tested(service: str) -> None:
    """A service's lock names the same versions as the lock that tests run with."""
    assert _pins(f"{service}/requirements.lock") <= _pins("requirements.lock")


def test_an_image_for_gpus_holds_nvidias_libraries_besides() -> None:
    """It differs from the other by these alone."""
    more = _pins("transcriber/requirements-cuda.lock") ^ _pins("transcriber/requirements.lock")
    assert more
    assert all(pin.startswith("nvidia-") for pin in more)


def _pins(path: str) -> set[str]:
    return set(re.findall(r"^[\w.-]+(?:\[\w+\])?==\S+", (ROOT / path).read_text(), re.MULTILINE))


def test_relative_links_lead_somewhere() -> None:
    """Every relative link of a page leads to a file that is there."""
    dead = [
        f"{page}: {target}"
        for page in files("*.md")
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", (ROOT / page).read_text())
        if not ((ROOT / page).parent / target).exists()
    ]
    assert dead == []
