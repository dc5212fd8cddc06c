"""The two children as programs: what they are told, what they see of our environment, their limits.

A child gets no setting that it does not need; the one that reads what strangers wrote gets no key.
"""

import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from batchscribe.transcriber.v1 import child_pb2

from transcriber import doors
from transcriber.child_process import Limits, Program
from transcriber.settings import Settings
from transcriber.socks import SocksServer

_PASSED_ON = ("LANG", "LC_", "LD_LIBRARY_PATH", "PYTHON", "SSL_CERT_", "TZ")
_PASSED_ON_TO_ENGINE = (*_PASSED_ON, "CUDA_", "HF_", "OMP_")


def fetcher(settings: Settings, home: Path, network: SocksServer) -> Program:
    """Return the program of the fetch child, whose only way out is ``network``."""
    setup = child_pb2.FetchSetup(
        max_bytes=settings.max_media_bytes,
        cookies_file=str(settings.cookies_file or ""),
        media_root=str(settings.media_root.resolve() if settings.media_root else ""),
        scratch_bytes=settings.scratch_bytes,
    )
    setup.needs_own_network = settings.require_network_namespace
    if settings.fetch_owner:
        setup.user_id, setup.group_id = settings.fetch_owner
    setup.max_audio.FromMilliseconds(int(settings.max_audio_seconds * 1000))

    @asynccontextmanager
    async def set_up(line: socket.socket) -> AsyncIterator[child_pb2.ChildRequest]:
        async with doors.answered(line, network) as setup.proxy:
            yield child_pb2.ChildRequest(fetch_setup=setup)

    return Program("transcriber.fetch", set_up, _environment(home, _PASSED_ON))


def engine(settings: Settings, home: Path) -> Program:
    """Return the program of the engine child, which is warm with the models to preload."""
    kind, _, number = settings.device.partition(":")
    setup = child_pb2.EngineSetup(
        model_dir=str(settings.model_dir.absolute()),
        device=kind,
        compute_type=settings.compute_type,
        cpu_threads=settings.cpu_threads,
        model_bytes=settings.model_bytes,
        model_idle_seconds=settings.model_idle_seconds,
    )
    environment = _environment(home, _PASSED_ON_TO_ENGINE)
    return Program(
        "transcriber.engine",
        lambda _: nullcontext(child_pb2.ChildRequest(engine_setup=setup)),
        environment | _cuda(environment, setup.model_dir, number),
        [
            child_pb2.ChildRequest(load=child_pb2.LoadJob(model=model))
            for model in settings.preloaded
        ],
    )


def fetcher_limits(settings: Settings) -> Limits:
    # The jobs of this child have nothing in common: one that hangs is stopped alone.
    return _limits(settings, settings.fetch_growth_bytes, shares_work=False)


def engine_limits(settings: Settings) -> Limits:
    return _limits(settings, settings.engine_growth_bytes, shares_work=True)


def _limits(settings: Settings, growth_bytes: int, *, shares_work: bool) -> Limits:
    return Limits(
        silence_seconds=settings.silence_seconds,
        shares_work=shares_work,
        grace_seconds=settings.cancel_grace_seconds,
        jobs=settings.recycle_videos,
        growth_bytes=growth_bytes,
    )


def search_path() -> str:
    """Return where children look for programs, first where yt-dlp's JavaScript engine is."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _environment(home: Path, passed_on: tuple[str, ...]) -> dict[str, str]:
    """Return the environment of a child: no home to read from, and next to nothing of ours."""
    return {
        # Threads of OpenMP would otherwise spin while they wait, which on busy cores costs others
        # and themselves many times the work.
        "OMP_WAIT_POLICY": "PASSIVE",
        # Threads of glibc's allocator would each keep what they once needed.
        "MALLOC_ARENA_MAX": "2",
        # Both libraries report what runs here to their makers unless told not to.
        "ORT_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **{name: value for name, value in os.environ.items() if name.startswith(passed_on)},
        "PATH": search_path(),
        "HOME": str(home),
        "TMPDIR": str(home),
    }


def _cuda(environment: dict[str, str], model_dir: str, number: str) -> dict[str, str]:
    """Return what CUDA goes by; ``number`` is that of the device, empty for the first."""
    visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
    chosen = {"CUDA_VISIBLE_DEVICES": _nth(visible, int(number))} if number else {}
    libraries = [_cublas_dir(), environment.get("LD_LIBRARY_PATH", "")]
    return {
        # Compiling for a new device takes minutes: the result is kept where the models are.
        "CUDA_CACHE_PATH": str(Path(model_dir, ".cuda")),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        **{name: value for name, value in environment.items() if name == "CUDA_CACHE_PATH"},
        **chosen,
    }


def _nth(visible: list[str], number: int) -> str:
    """Return the device of that number among those that we may see."""
    return visible[number] if any(visible) and number < len(visible) else str(number)


def _cublas_dir() -> str:
    """Return where pip puts cuBLAS, where no loader looks by itself; empty if it is not there."""
    with suppress(PackageNotFoundError):
        return str(distribution("nvidia-cublas-cu12").locate_file("nvidia/cublas/lib"))
    return ""
