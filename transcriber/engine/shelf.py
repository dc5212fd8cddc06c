"""The models in memory: loaded when first asked for, the least used dropped for the next."""

import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import ctranslate2
from batchscribe.transcriber.v1 import child_pb2
from faster_whisper import WhisperModel

from transcriber import models
from transcriber.engine.whisper import Model

_ROOM = 2


class Shelf:
    """Hands out models by name; any thread may ask. ``device`` is such as "cpu/int8"."""

    def __init__(
        self, setup: child_pb2.EngineSetup, on_change: Callable[[Sequence[str]], None]
    ) -> None:
        self._setup = setup
        self._on_change = on_change
        self._kind = _device(setup.device)
        self._compute_type = setup.compute_type or _compute_type(self._kind)
        self._lock = threading.Lock()
        self._loading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._models: OrderedDict[str, Model] = OrderedDict()

    @property
    def device(self) -> str:
        return f"{self._kind}/{self._compute_type}"

    def model(self, name: str) -> Model:
        """Return the model, loading it if need be. Raises VideoFailure MODEL_UNAVAILABLE."""
        # One loads and the rest wait for it; who wants another model does not.
        with self._lock:
            loading = self._loading[name]
        with loading:
            model = self._models.get(name) or self._load(name)
            self._keep(model)
            return model

    def _keep(self, model: Model) -> None:
        with self._lock:
            is_new = model.name not in self._models
            self._models[model.name] = model
            self._models.move_to_end(model.name)
            if len(self._models) > _ROOM:
                self._models.popitem(last=False)
            if is_new:
                self._on_change(list(self._models))

    def _load(self, name: str) -> Model:
        directory = models.find(name, Path(self._setup.model_dir))
        sha256 = models.sha256_of(directory)
        workers, threads = _threads(self._setup) if self._kind == "cpu" else (1, 0)
        try:
            whisper = WhisperModel(
                str(directory),
                device=self._kind,
                compute_type=self._compute_type,
                cpu_threads=threads,
                num_workers=workers,
                local_files_only=True,
            )
        except (RuntimeError, ValueError) as error:
            if "out of memory" in str(error):
                raise
            raise models.unavailable(name, "its files cannot be read.") from error
        return Model(name, sha256, whisper)


def _device(asked: str) -> str:
    if asked != "auto":
        return asked
    return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"


def _compute_type(kind: str) -> str:
    return "float16" if kind == "cuda" else "int8"


def _threads(setup: child_pb2.EngineSetup) -> tuple[int, int]:
    """Return (jobs at a time, threads for each) that together fill the cores once.

    Jobs side by side use cores better than threads within one: on two cores, two jobs of one
    thread each do twice the audio per second that one job of two threads does.
    """
    cores = len(os.sched_getaffinity(0))
    if setup.cpu_threads:
        return max(1, min(setup.slots, cores // setup.cpu_threads)), setup.cpu_threads
    jobs = min(setup.slots, cores)
    return jobs, cores // jobs
