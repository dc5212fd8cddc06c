"""How the device is used: what it is, how many batches at a time, how large they are."""

import os
from dataclasses import dataclass

import ctranslate2
from batchscribe.transcriber.v1 import child_pb2

# Measured: in shorter windows the model lacks context, in longer ones it leaves out sentences.
_WINDOW_SECONDS = 20


@dataclass(frozen=True)
class Plan:
    """``kind`` is "cpu" or "cuda"; ``threads`` are those of one worker, 0 leaves them open."""

    kind: str
    compute_type: str
    workers: int
    threads: int
    most_rows: int
    window_seconds: float

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.compute_type}"


def plan(setup: child_pb2.EngineSetup) -> Plan:
    """Return the plan for this machine."""
    kind = _kind(setup.device)
    if kind == "cuda":
        return Plan(kind, setup.compute_type or "float16", 1, 0, 32, _WINDOW_SECONDS)
    workers, threads = _workers(setup.cpu_threads, len(os.sched_getaffinity(0)))
    return Plan(kind, setup.compute_type or "int8", workers, threads, 8, _WINDOW_SECONDS)


def _kind(asked: str) -> str:
    if asked != "auto":
        return asked
    return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"


def _workers(asked_threads: int, cores: int) -> tuple[int, int]:
    """Return (workers, threads for each) that together fill the cores once.

    Batches side by side use cores better than threads within one.
    """
    threads = min(asked_threads or 1, cores)
    return cores // threads, threads
