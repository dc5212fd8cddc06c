"""``batchscribe up`` as its users meet it: one stack for all tests, which leave it as it was."""

import json
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests import command
from tests.conftest import SAMPLES
from tests.media import feed, media_server
from tests.process_tree import descendants
from tests.running_stack import UP, up

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Stack:
    """A running stack on ``folder``, in which the samples may be read by their addresses."""

    folder: Path
    supervisor: Process

    @property
    def client_file(self) -> dict[str, str]:
        told: dict[str, str] = json.loads((self.folder / "client.json").read_text())
        return told

    async def run(self, *arguments: str) -> command.Finished:
        return await command.run(*arguments, env=command.environment(self.folder))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    async with up(folder, "--media-root", str(SAMPLES)) as supervisor:
        yield Stack(folder, supervisor)


def told_by_kernel(pid: int) -> bytes:
    """Return arguments and environment of a process."""
    return b"".join(Path(f"/proc/{pid}/{kind}").read_bytes() for kind in ("cmdline", "environ"))


async def test_secrets_stand_in_files_of_the_user_alone(stack: Stack) -> None:
    """Neither arguments nor environment of any process tell the key or the password of Redis."""
    password = stack.client_file["redis_url"].partition("@")[0].rpartition(":")[2]
    shown = b"".join(map(told_by_kernel, descendants(stack.supervisor.pid)))
    assert b"GATEWAY_SECRETS_DIR" in shown
    assert stack.client_file["api_key"].encode() not in shown
    assert password.encode() not in shown
    files = [stack.folder / "client.json", *(stack.folder / "secrets").iterdir()]
    assert len(files) > 1
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


async def test_one_data_directory_serves_one_stack(stack: Stack) -> None:
    """A second ``up`` on the same data says so and leaves the first alone."""
    second = await stack.run(*UP)
    assert second.code == 1
    assert "Another `batchscribe up` runs on" in second.errors
    assert (await stack.run("models")).code == 0


async def test_a_taken_port_is_named(stack: Stack, tmp_path: Path) -> None:
    """A port that something else listens on is said in a sentence with the option to change it."""
    port = stack.client_file["address"].rpartition(":")[2]
    env = command.environment(tmp_path)
    done = await command.run("up", "--port", port, "--http-port", "0", env=env)
    assert done.code == 1
    assert f"Port {port} cannot be used" in done.errors
    assert "--port" in done.errors


async def test_files_of_this_machine_can_be_transcribed(stack: Stack) -> None:
    """``--media-root`` opens the files of one directory, by path or address, and no others."""
    done = await stack.run("transcribe", str(SAMPLES / "train.mp3"))
    outside = await stack.run("transcribe", Path(__file__).as_uri())
    assert done.code == 0, done.errors
    assert outside.code == 1
    assert "no such file that this service may read" in outside.errors + outside.output


async def test_a_feed_becomes_its_episodes(stack: Stack, samples_url: str) -> None:
    """With ``--playlists`` each sound of a feed is transcribed, in its order; without, none is."""
    sounds = [f"{samples_url}/rain.m4a", f"{samples_url}/train.mp3"]
    with media_server() as media:
        url = media.serve("feed.xml", feed("Talks", sounds))
        done = await stack.run("transcribe", "--playlists", url)
        refused = await stack.run("transcribe", url)
    assert done.code == 0, done.errors
    assert "2 of 2 videos succeeded" in done.errors
    assert 0 < done.output.find("ocean") < done.output.find("mountains")
    assert refused.code == 1
    assert "expand_playlists" in refused.errors
