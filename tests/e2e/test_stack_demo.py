"""What ``make demo`` and ``doctor`` run, on this machine alone."""

import json
from pathlib import Path

from tests import command
from tests.conftest import SAMPLES, Sample
from tests.process_tree import descendants
from tests.running_stack import until_gone


def _demo(folder: Path) -> tuple[str, ...]:
    return ("demo", "--samples", str(SAMPLES), "--folder", str(folder))


async def test_the_demo_transcribes_every_speaking_sample(
    tmp_path: Path, samples: dict[str, Sample]
) -> None:
    """It ends with 0, has subtitles for each speaking sample, and shows the silent one's error."""
    done = await command.run(*_demo(tmp_path), env=command.environment(tmp_path / "data"))
    assert done.code == 0, done.errors
    titles = {sample.title for sample in samples.values() if sample.audio}
    written = {path.name.partition(" [")[0] for path in (tmp_path / "transcripts").glob("*.srt")}
    assert written == titles
    assert "as it should: this sample has no sound" in done.output


async def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path) -> None:
    """Ctrl-C in the middle ends every process that was started."""
    env = command.environment(tmp_path / "data")
    process = await command.start(*_demo(tmp_path), env=env)
    await command.until_said(process, "fetching")
    started = descendants(process.pid)
    command.interrupt(process)
    done = await command.finish(process)
    assert done.code == 130
    assert "Traceback" not in done.errors
    await until_gone(started)


async def test_the_doctor_finds_a_sound_machine(tmp_path: Path, samples_url: str) -> None:
    """What both services find of this machine is fine, and a page can be read with yt-dlp."""
    probe = ("--probe-url", f"{samples_url}/train.mp3")
    done = await command.run("doctor", *probe, "--json", env=command.environment(tmp_path))
    findings = {one["subject"]: one for one in map(json.loads, done.output.splitlines())}
    assert done.code == 0, done
    assert findings["server"]["verdict"] == "warn"
    sound = {"versions", "redis durability", "redis schema", "model base", "scratch", "site"}
    assert {findings[subject]["verdict"] for subject in sound} == {"ok"}, findings


async def test_the_doctor_names_a_wrong_setting(tmp_path: Path, samples_url: str) -> None:
    """A service that cannot read its settings says which, and the doctor passes that on."""
    env = command.environment(tmp_path, TRANSCRIBER_SLOTS="none")
    done = await command.run("doctor", "--probe-url", samples_url, "--json", env=env)
    findings = {one["subject"]: one for one in map(json.loads, done.output.splitlines())}
    assert done.code == 1
    assert findings["transcriber"]["verdict"] == "fail"
    assert "TRANSCRIBER_SLOTS" in findings["transcriber"]["text"]
