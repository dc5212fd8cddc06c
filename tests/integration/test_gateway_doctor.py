"""``python -m gateway doctor`` beside real parts, sound and unsound."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from gateway.commands import app
from gateway.doctor import examine
from gateway.settings import Settings
from gateway.store import keys
from servicekit.findings import Finding
from tests.certificates import Authority
from tests.faketime import off_by
from tests.scripted_transcriber import ScriptedTranscriber, running
from tests.support import free_port
from tests.valkey import Valkey

HOST = "127.0.0.1"


async def found(redis_url: str, **settings: Any) -> dict[str, Finding]:
    """Return the findings by their subjects."""
    values: dict[str, Any] = {"redis_url": redis_url, "transcribers": ()} | settings
    return {finding.subject: finding for finding in await examine(Settings(**values))}


@contextmanager
def configured(redis_url: str, name: str, value: str) -> Iterator[None]:
    """Run with another setting of the server, which is shared."""
    with redis.Redis.from_url(redis_url) as client:
        before = client.config_get(name)[name]
        client.config_set(name, value)
        try:
            yield
        finally:
            client.config_set(name, before)


async def test_a_sound_deployment_has_nothing_but_ok(redis_url: str, tmp_path: Path) -> None:
    """A durable Redis, a transcriber that works and certificates that last raise no concern."""
    certificates = Authority(tmp_path)
    files = certificates.issue("server", HOST)
    async with running(ScriptedTranscriber(slots=3), tls=files) as transcriber:
        findings = await found(
            redis_url,
            transcribers=(transcriber.address,),
            transcriber_ca_file=files.ca,
            transcriber_cert_file=files.cert,
            transcriber_key_file=files.key,
        )
    assert findings.pop("redis disk").verdict in ("ok", "warn")  # As busy as this machine is.
    assert {finding.verdict for finding in findings.values()} == {"ok"}, findings
    assert findings.keys() == {
        "redis", "redis schema", "redis durability", "redis memory", "clock",
        f"transcriber {transcriber.address}", f"certificate of {transcriber.address}",
        f"certificate {files.cert}",
    }  # fmt: skip
    assert "3 slots; models: tiny.en (loaded), base" in (
        findings[f"transcriber {transcriber.address}"].text
    )


@pytest.mark.parametrize(
    ("name", "value", "subject", "verdict"),
    [
        ("appendfsync", "everysec", "redis durability", "fail"),
        ("maxmemory", "1mb", "redis memory", "warn"),
    ],
)
async def test_a_weak_redis_is_found(
    redis_url: str, name: str, value: str, subject: str, verdict: str
) -> None:
    """Settings that lose work fail, memory that is nearly full is told, and both are named."""
    with configured(redis_url, name, value):
        finding = (await found(redis_url))[subject]
    assert finding.verdict == verdict
    assert name in finding.text


async def test_data_of_a_newer_version_is_found(redis_url: str) -> None:
    """What a gateway would refuse at its start fails here, with the way back."""
    with redis.Redis.from_url(redis_url) as client:
        client.set(keys.key("schema"), 2)
    finding = (await found(redis_url))["redis schema"]
    assert finding.verdict == "fail"
    assert "restore a backup" in finding.text


async def test_a_redis_that_is_away_is_found() -> None:
    """Nothing but its absence is said of a Redis that does not answer."""
    findings = await found(f"redis://{HOST}:{free_port()}/0")
    assert {subject: finding.verdict for subject, finding in findings.items()} == {"redis": "fail"}


@pytest.mark.needs_faketime
async def test_a_clock_that_is_wrong_is_found() -> None:
    """A Redis that is an hour ahead of this machine is told."""
    with closing(Valkey(off_by(3600))) as server:
        server.start()
        finding = (await found(server.url))["clock"]
    assert finding.verdict == "warn"
    assert finding.text.startswith("-3600 s")


async def test_transcribers_that_cannot_work_are_found(redis_url: str) -> None:
    """One without slots, one that is not there, and a name without addresses all fail."""
    nowhere = f"{HOST}:{free_port()}"
    async with running(ScriptedTranscriber(slots=0)) as unable:
        names = (unable.address, nowhere, "transcriber.invalid:50061")
        findings = await found(redis_url, transcribers=names)
    texts = {name: findings[f"transcriber {name}"] for name in names}
    assert {finding.verdict for finding in texts.values()} == {"fail"}
    assert "cannot work" in texts[unable.address].text
    assert "does not answer" in texts[nowhere].text
    assert "cannot be resolved" in texts["transcriber.invalid:50061"].text


@pytest.mark.parametrize(("days", "verdict"), [(-1, "fail"), (3, "warn")])
async def test_a_certificate_that_ends_is_found(
    redis_url: str, tmp_path: Path, days: int, verdict: str
) -> None:
    """A certificate is told of before it has expired, and fails afterwards."""
    until = datetime.now(UTC) + timedelta(days=days, hours=1)
    files = Authority(tmp_path).issue("gateway", HOST, until=until)
    findings = await found(redis_url, tls_cert_file=files.cert, tls_key_file=files.key)
    assert findings[f"certificate {files.cert}"].verdict == verdict


def test_a_program_can_ask(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON there is a line for each finding; the command ends with 1 if any has failed."""
    monkeypatch.setenv("GATEWAY_REDIS_URL", redis_url)
    monkeypatch.setenv("GATEWAY_TRANSCRIBERS", f"{HOST}:{free_port()}")
    result = CliRunner().invoke(app, ["doctor", "--json"])
    lines = map(json.loads, result.stdout.splitlines())
    verdicts = {line["subject"]: line["verdict"] for line in lines}
    assert result.exit_code == 1
    assert verdicts["redis durability"] == "ok"
    assert "fail" in verdicts.values()
