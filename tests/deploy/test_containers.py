"""Images and the Compose file: what their checkers say, and what both promise."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.repository import ROOT, files

DOCKERFILES = files("*Dockerfile")
COMPOSE = ROOT / "docker-compose.yml"


def complaints(program: str, *arguments: str | Path) -> str:
    """Return what a checker has to say against its files; empty if it accepts them."""
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"{done.returncode}: {done.stdout}{done.stderr}" if done.returncode else ""


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


@pytest.mark.parametrize("path", DOCKERFILES)
def test_hadolint_has_nothing_to_say(path: str) -> None:
    """No image is built in a way that is known to be bad."""
    assert complaints("hadolint", path) == ""


@pytest.mark.parametrize("path", DOCKERFILES)
def test_images_run_as_nobody(path: str) -> None:
    """Every image has a user of its own, and a check of its health."""
    text = (ROOT / path).read_text()
    assert "\nUSER 10001\n" in text
    assert "\nHEALTHCHECK " in text


def test_compose_accepts_the_file() -> None:
    """The Compose file is one by its schema."""
    schema = ("--builtin-schema", "vendor.compose-spec")
    assert complaints("check-jsonschema", *schema, COMPOSE) == ""


def test_only_this_machine_reaches_the_ports() -> None:
    """Every port that is published is one of the loopback interface."""
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", services())
def test_services_may_do_little(name: str) -> None:
    """Every service has files it cannot change, no rights, and comes back by itself."""
    service = services()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["restart"] == "unless-stopped"


def test_redis_answers_after_its_disk() -> None:
    """The Redis that we start keeps what it has confirmed."""
    command = services()["redis"]["command"]
    assert "--appendfsync always" in command
    assert "--maxmemory-policy noeviction" in command


def test_what_is_mounted_is_there() -> None:
    """Every file that a service is given exists here."""
    volumes = [volume for one in services().values() for volume in one.get("volumes", ())]
    here = [volume.split(":")[0] for volume in volumes if volume.startswith("./")]
    assert here
    assert all((ROOT / path).exists() for path in here)
