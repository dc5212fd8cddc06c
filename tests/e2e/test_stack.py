"""``batchscribe up`` with real processes and a real model, and what it leaves behind."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests import command
from tests.conftest import SAMPLES
from tests.media import feed, media_server
from tests.process_tree import descendants
from tests.running_stack import UP, pid_of, until_gone, up
from tests.support import wait_until


async def test_a_video_is_transcribed_and_its_batch_survives_a_restart(
    tmp_path: Path, samples_url: str
) -> None:
    """The CLI finds a running stack by itself, and what it did is there after a restart."""
    env = command.environment(tmp_path)
    async with up(tmp_path):
        done = await command.run("transcribe", f"{samples_url}/train.mp3", env=env)
        assert done.code == 0, done.errors
        assert "mountains" in done.output
    async with up(tmp_path):
        listed = await command.run("list", "--json", env=env)
        (batch,) = [json.loads(line) for line in listed.output.splitlines()]
        shown = await command.run("get", batch["batch_id"], env=env)
    assert batch["state"] == "BATCH_STATE_SUCCEEDED"
    assert "train" in shown.output


async def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    """After Ctrl-C no process and no address file is left, and the exit code is 0."""
    async with up(tmp_path) as process:
        started = descendants(process.pid)
        assert len(started) >= 3
        assert (tmp_path / "client.json").stat().st_mode & 0o777 == 0o600
        command.interrupt(process)
        done = await command.finish(process)
    assert done.code == 0, done.errors
    await until_gone(started)
    assert not (tmp_path / "client.json").exists()


def told_by_kernel(pid: int) -> bytes:
    """Return arguments and environment of a process."""
    return b"".join(Path(f"/proc/{pid}/{kind}").read_bytes() for kind in ("cmdline", "environ"))


async def test_secrets_stand_in_files_of_the_user_alone(tmp_path: Path) -> None:
    """Neither arguments nor environment of any process tell the key or the password of Redis."""
    async with up(tmp_path) as process:
        server = json.loads((tmp_path / "client.json").read_text())
        password = server["redis_url"].partition("@")[0].rpartition(":")[2]
        shown = b"".join(map(told_by_kernel, descendants(process.pid)))
        assert b"GATEWAY_SECRETS_DIR" in shown
        assert server["api_key"].encode() not in shown
        assert password.encode() not in shown
        files = list((tmp_path / "secrets").iterdir())
    assert files
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


async def test_a_killed_supervisor_takes_everything_along(tmp_path: Path) -> None:
    """SIGKILL of ``up`` leaves no process, and the next ``up`` on the same data starts."""
    async with up(tmp_path) as process:
        started = descendants(process.pid)
        process.kill()
        await command.finish(process)
        await until_gone(started)
    found_nothing = await command.run("list", env=command.environment(tmp_path))
    assert found_nothing.code == 2
    async with up(tmp_path):
        pass


async def test_one_data_directory_serves_one_stack(tmp_path: Path) -> None:
    """A second ``up`` on the same data says so and leaves the first alone."""
    async with up(tmp_path):
        second = await command.run(*UP, env=command.environment(tmp_path))
        assert second.code == 1
        assert "Another `batchscribe up` runs on" in second.errors
        assert (await command.run("models", env=command.environment(tmp_path))).code == 0


@pytest.mark.parametrize("module", ["gateway", "transcriber"])
async def test_a_dead_service_is_started_again(
    tmp_path: Path, samples_url: str, module: str
) -> None:
    """A service that was killed comes back, and work is done as before."""
    env = command.environment(tmp_path)
    async with up(tmp_path) as process:
        os.kill(pid_of(module, descendants(process.pid)), signal.SIGKILL)
        await command.until_said(process, "starting it again")
        done = await command.run("transcribe", f"{samples_url}/train.mp3", env=env)
    assert done.code == 0, done.errors
    assert "mountains" in done.output


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """A port that something else listens on is said in a sentence with the option to change it."""
    async with up(tmp_path):
        port = json.loads((tmp_path / "client.json").read_text())["address"].rpartition(":")[2]
        other = command.environment(tmp_path / "other")
        done = await command.run("up", "--port", port, "--http-port", "0", env=other)
    assert done.code == 1
    assert f"Port {port} cannot be used" in done.errors
    assert "--port" in done.errors


async def test_without_a_server_one_is_started_for_the_job(
    tmp_path: Path, samples_url: str
) -> None:
    """``transcribe`` alone does the whole job and leaves only the file asked for."""
    folder = tmp_path / "out"
    process = await command.start(
        *("transcribe", f"{samples_url}/train.mp3", "--model", "tiny.en"),
        *("-o", str(folder), "--format", "srt"),
        env=command.environment(tmp_path / "data"),
    )
    started = await wait_until(lambda: descendants(process.pid))
    done = await command.finish(process)
    assert done.code == 0, done.errors
    (file,) = folder.glob("*.srt")
    assert "-->" in file.read_text()
    await until_gone(started)


async def test_files_of_this_machine_can_be_transcribed(tmp_path: Path) -> None:
    """``--media-root`` opens the files of one directory, by path or address, and no others."""
    env = command.environment(tmp_path)
    async with up(tmp_path, "--media-root", str(SAMPLES)):
        done = await command.run("transcribe", str(SAMPLES / "train.mp3"), env=env)
        outside = await command.run("transcribe", Path(__file__).as_uri(), env=env)
    assert done.code == 0, done.errors
    assert outside.code == 1
    assert "no such file that this service may read" in outside.errors + outside.output


async def test_a_feed_becomes_its_episodes(tmp_path: Path, samples_url: str) -> None:
    """With ``--playlists`` each sound of a feed is transcribed, in its order; without, none is."""
    env = command.environment(tmp_path)
    sounds = [f"{samples_url}/rain.m4a", f"{samples_url}/train.mp3"]
    with media_server() as media:
        url = media.serve("feed.xml", feed("Talks", sounds))
        async with up(tmp_path):
            done = await command.run("transcribe", "--playlists", url, env=env)
            refused = await command.run("transcribe", url, env=env)
    assert done.code == 0, done.errors
    assert "2 of 2 videos succeeded" in done.errors
    assert 0 < done.output.find("ocean") < done.output.find("mountains")
    assert refused.code == 1
    assert "expand_playlists" in refused.errors


async def test_ctrl_c_ends_a_job_with_its_server(tmp_path: Path, samples_url: str) -> None:
    """Interrupted without a server of its own, ``transcribe`` says that nothing goes on."""
    process = await command.start(
        *("transcribe", f"{samples_url}/bread.webm", "--model", "tiny.en"),
        env=command.environment(tmp_path),
    )
    await command.until_said(process, "fetching")
    started = descendants(process.pid)
    command.interrupt(process)
    done = await command.finish(process)
    assert done.code == 130
    assert "Nothing goes on" in done.errors
    await until_gone(started)
