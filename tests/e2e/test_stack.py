"""``batchscribe up`` with real processes and a real model, and what it leaves behind."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests import command
from tests.process_tree import descendants
from tests.running_stack import pid_of, until_gone, up
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


@pytest.mark.parametrize("module", ["gateway", "transcriber"])
async def test_a_dead_service_is_started_again(
    tmp_path: Path, samples_url: str, module: str
) -> None:
    """A service that was killed comes back, and work is done as before."""
    env = command.environment(tmp_path)
    async with up(tmp_path) as process:
        os.kill(pid_of(module, descendants(process.pid)), signal.SIGKILL)
        await command.until_said(process, "is ready again")
        done = await command.run("transcribe", f"{samples_url}/train.mp3", env=env)
    assert done.code == 0, done.errors
    assert "mountains" in done.output


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
