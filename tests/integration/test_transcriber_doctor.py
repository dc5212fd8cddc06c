"""``python -m transcriber doctor`` on this machine, sound and unsound."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from servicekit.findings import Finding
from tests.certificates import Authority
from transcriber.doctor import examine, judge_age
from transcriber.models import ON_THE_HUB, WEIGHTS
from transcriber.settings import Settings


@pytest.fixture
def found(tmp_path: Path) -> Any:
    """Look with these settings on folders of the test; gives the findings by their subjects."""

    def look(**settings: Any) -> dict[str, Finding]:
        values = {"model_dir": tmp_path / "models", "work_dir": tmp_path / "work"} | settings
        return {finding.subject: finding for finding in examine(Settings(**values))}

    return look


@pytest.mark.needs_namespaces
def test_this_machine_has_what_a_transcriber_needs(found: Any) -> None:
    """A network for what fetches, a JavaScript engine, room and the model from wheels are here."""
    findings = found(models=("base",), scratch_bytes=1)
    del findings["yt-dlp"]  # Whatever has become of it since.
    assert {name: finding.verdict for name, finding in findings.items()} == {
        "confinement": "ok",
        "javascript": "ok",
        "scratch": "ok",
        "model base": "ok",
    }


def test_too_little_room_for_media_is_found(found: Any, tmp_path: Path) -> None:
    """A folder that is smaller than what videos may take is told, one of no use fails."""
    assert found(scratch_bytes=10**18)["scratch"].verdict == "warn"
    (tmp_path / "file").touch()
    assert found(work_dir=tmp_path / "file" / "work")["scratch"].verdict == "fail"


def test_models_that_are_elsewhere_are_found(found: Any, tmp_path: Path) -> None:
    """What the hub has is to be downloaded, what nobody has fails, what was downloaded is here."""
    findings = found(models=("small", "of-my-own"))
    assert findings["model small"].verdict == "warn"
    assert findings["model of-my-own"].verdict == "fail"
    revision = ON_THE_HUB["small"]
    repository = tmp_path / "models/hub" / f"models--{revision.repository.replace('/', '--')}"
    weights = repository / "snapshots" / revision.commit / WEIGHTS
    for file in (weights, tmp_path / "models/of-my-own" / WEIGHTS):
        file.parent.mkdir(parents=True)
        file.touch()
    findings = found(models=("small", "of-my-own"))
    assert {findings[f"model {name}"].verdict for name in ("small", "of-my-own")} == {"ok"}


def test_a_missing_javascript_engine_is_found(
    found: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without deno beside Python or on the path the doctor says how to get it."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found()["javascript"].verdict == "fail"


def test_a_certificate_without_its_key_is_found(found: Any, tmp_path: Path) -> None:
    """A certificate fails with the key of another, and is fine with its own."""
    authority = Authority(tmp_path)
    ours, other = authority.issue("ours", "host"), authority.issue("other", "host")
    subject = f"certificate {ours.cert}"
    assert found(tls_cert_file=ours.cert, tls_key_file=ours.key)[subject].verdict == "ok"
    assert found(tls_cert_file=ours.cert, tls_key_file=other.key)[subject].verdict == "fail"


@pytest.mark.parametrize(
    ("release", "verdict"), [("2026.8.19", "warn"), ("2026.11.2", "ok"), ("2026.11.2.232801", "ok")]
)
def test_an_old_yt_dlp_is_found(release: str, verdict: str) -> None:
    """A release says when it was made; after two months it is told of."""
    assert judge_age(release, date(2026, 11, 22)).verdict == verdict


def test_a_program_can_ask(tmp_path: Path) -> None:
    """As JSON there is a line for each finding; the command ends with 1 if any has failed."""
    environment = os.environ | {
        "TRANSCRIBER_WORK_DIR": str(tmp_path),
        "TRANSCRIBER_MODEL_DIR": str(tmp_path),
        "TRANSCRIBER_MODELS": "of-my-own",
    }
    command = (sys.executable, "-m", "transcriber", "doctor", "--json")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    verdicts = {
        line["subject"]: line["verdict"] for line in map(json.loads, done.stdout.splitlines())
    }
    assert done.returncode == 1
    assert verdicts["model of-my-own"] == "fail"
