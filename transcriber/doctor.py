"""``python -m transcriber doctor``: whether this machine has what a transcriber needs.

It looks with the settings of a transcriber and by the transcriber's own rules, and loads no model.
"""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

from servicekit.findings import Finding
from servicekit.tls import UnusableCertificate
from transcriber import models, programs
from transcriber.fetch import network
from transcriber.scratch import Scratch
from transcriber.settings import Settings

_GB = 1e9
# Sites change about as often as yt-dlp is released; what is older than this misses some.
_OLD_DAYS = 60
_LARGEST_MODEL_BYTES = 3.1e9
_ANSWER_SECONDS = 10.0


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; never raises. This process may have one thread."""
    return [
        _confinement(settings),
        judge_age(version("yt-dlp"), datetime.now(UTC).date()),
        _javascript(),
        _scratch(settings),
        *(_model(name, settings.model_dir) for name in settings.models),
        *_certificate(settings),
    ]


def judge_age(release: str, today: date) -> Finding:
    """Judge a release of yt-dlp, which bears its date."""
    year, month, day = map(int, release.split(".")[:3])
    age_days = (today - date(year, month, day)).days
    if age_days > _OLD_DAYS:
        text = f"{release} is {age_days} days old, and sites change: install a newer release"
        return Finding("yt-dlp", "warn", text)
    return Finding("yt-dlp", "ok", release)


def _confinement(settings: Settings) -> Finding:
    if network.can_leave():
        return Finding("confinement", "ok", "what fetches has a network of its own")
    text = "what fetches shares our network: let it have network namespaces (docs/security.md)"
    is_needed = settings.require_network_namespace
    return Finding("confinement", "fail" if is_needed else "warn", text)


def _javascript() -> Finding:
    program = shutil.which("deno", path=programs.search_path())
    if program is None:
        text = 'there is no deno, which YouTube needs: pip install "yt-dlp[default,deno]"'
        return Finding("javascript", "fail", text)
    try:
        said = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("javascript", "fail", f"{program} does not run: {error}")
    return Finding("javascript", "ok", said.stdout.partition("\n")[0])


def _scratch(settings: Settings) -> Finding:
    try:
        with Scratch(settings.work_dir, settings.fetch_owner) as scratch:
            free = shutil.disk_usage(scratch.home).free
    except OSError as error:
        return Finding("scratch", "fail", f"{settings.work_dir} cannot be used: {error.strerror}")
    text = f"{free / _GB:.0f} GB free in {settings.work_dir}"
    if free < settings.scratch_bytes:
        allowed = f"TRANSCRIBER_SCRATCH_BYTES lets media have {settings.scratch_bytes / _GB:.0f}"
        return Finding("scratch", "warn", f"{text}, but {allowed}: make room or lower it")
    return Finding("scratch", "ok", text)


def _model(name: str, model_dir: Path) -> Finding:
    subject = f"model {name}"
    if models.is_here(name, model_dir):
        return Finding(subject, "ok", "is on this machine")
    if name not in models.ON_THE_HUB:
        return Finding(subject, "fail", f"is not in {model_dir}, and no hub has it")
    free = shutil.disk_usage(_nearest(model_dir)).free
    text = f"has to be downloaded at the first start; {free / _GB:.0f} GB free for {model_dir}"
    return Finding(subject, "warn" if free > _LARGEST_MODEL_BYTES else "fail", text)


def _nearest(folder: Path) -> Path:
    """Return the folder, or what there is of the way to it."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _certificate(settings: Settings) -> Iterator[Finding]:
    if settings.tls is None:
        return
    subject = f"certificate {settings.tls_cert_file}"
    try:
        settings.tls.server_context()
    except UnusableCertificate as error:
        yield Finding(subject, "fail", str(error))
    else:
        yield Finding(subject, "ok", "fits its key; a gateway's doctor says for how long")
