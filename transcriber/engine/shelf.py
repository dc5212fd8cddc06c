"""The models in memory: loaded on demand, lent, unloaded when idle or when room is needed.

A model that is lent is never unloaded; together they stay within the budget, but that one model
alone may be larger. Who waits for room goes before those who come later, whatever they want.
"""

import ctypes
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchscribe.transcriber.v1 import child_pb2
from faster_whisper import WhisperModel

from transcriber import models
from transcriber.diagnosis import is_out_of_memory
from transcriber.engine import canary
from transcriber.engine.encoding import silence_after
from transcriber.engine.plan import plan
from transcriber.engine.rows import Model

_WAIT_SECONDS = 1.0
# Nobody can look into a download or a load; this is the time for both on a bad day.
_LOAD_SECONDS = 3600.0
_OF_THE_DEVICE = re.compile("CUDA|libcu|compute type")

# Called by who waits or is about to load; raises to give up. The argument is the time until the
# next call at most; 0 for the usual.
Check = Callable[[float], None]


def _go_on(quiet_seconds: float) -> None:
    pass


@dataclass
class _Place:
    """Room for a model; ``model`` is None while it is being loaded."""

    size_bytes: int
    model: Model | None = None
    lent: int = 1
    since: float = 0.0

    @property
    def idle(self) -> bool:
        return self.lent == 0


class Shelf:
    """Lends models by name; any thread may ask."""

    def __init__(
        self, setup: child_pb2.EngineSetup, on_change: Callable[[Sequence[str]], None]
    ) -> None:
        self.plan = plan(setup)
        self._setup = setup
        self._on_change = on_change
        self._loading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._places: dict[str, _Place] = {}
        self._want_room = 0
        self._changed = threading.Condition()

    @contextmanager
    def lend(self, name: str, check: Check = _go_on) -> Iterator[Model]:
        """Lend the model, loading it if need be. Raises VideoFailure MODEL_UNAVAILABLE."""
        # One loads and the rest wait for it; who wants another model does not.
        with self._turn(name, check):
            model = self._take(name, check) or self._load(name, check)
        try:
            yield model
        finally:
            self._give_back(name)

    def unload_idle(self) -> None:
        """Unload what nobody has used for the time of the set-up."""
        deadline = time.monotonic() - self._setup.model_idle_seconds
        with self._changed:
            places = self._places.items()
            unused = [name for name, place in places if place.idle and place.since < deadline]
            for name in unused:
                self._unload(name)
        if unused:
            _return_memory()

    @contextmanager
    def _turn(self, name: str, check: Check) -> Iterator[None]:
        with self._changed:
            loading = self._loading[name]
        while not loading.acquire(timeout=_WAIT_SECONDS):
            check(0)
        try:
            yield
        finally:
            loading.release()

    def _take(self, name: str, check: Check) -> Model | None:
        with self._changed:
            while name in self._places and self._want_room:
                self._wait(check)
            place = self._places.get(name)
            if place is None:
                return None
            place.lent += 1
            return place.model

    def _give_back(self, name: str) -> None:
        with self._changed:
            place = self._places[name]
            place.lent -= 1
            place.since = time.monotonic()
            self._changed.notify_all()

    def _load(self, name: str, check: Check) -> Model:
        check(_LOAD_SECONDS)
        directory = models.find(name, Path(self._setup.model_dir))
        place = self._make_room(name, (directory / models.WEIGHTS).stat().st_size, check)
        try:
            check(_LOAD_SECONDS)
            model = self._tried(name, directory)
        except BaseException:
            with self._changed:
                del self._places[name]
                self._changed.notify_all()
            raise
        with self._changed:
            place.model = model
            self._report()
        return model

    def _make_room(self, name: str, size_bytes: int, check: Check) -> _Place:
        """Reserve the room, unloading what was idle longest; wait if all is lent."""
        with self._changed:
            self._want_room += 1
            try:
                while self._places and self._used_bytes() + size_bytes > self._setup.model_bytes:
                    if not self._unload_oldest():
                        self._wait(check)
                self._places[name] = place = _Place(size_bytes)
                return place
            finally:
                self._want_room -= 1
                self._changed.notify_all()

    def _wait(self, check: Check) -> None:
        self._changed.wait(_WAIT_SECONDS)
        check(0)

    def _used_bytes(self) -> int:
        return sum(place.size_bytes for place in self._places.values())

    def _unload_oldest(self) -> bool:
        """Unload what was idle longest; False if all is lent."""
        idle = [name for name, place in self._places.items() if place.idle]
        if idle:
            self._unload(min(idle, key=lambda name: self._places[name].since))
        return bool(idle)

    def _unload(self, name: str) -> None:
        del self._places[name]
        self._report()

    def _report(self) -> None:
        self._on_change([name for name, place in self._places.items() if place.model])

    def _tried(self, name: str, directory: Path) -> Model:
        """Return the model once it has heard something. Raises VideoFailure MODEL_UNAVAILABLE."""
        try:
            whisper = self._read(directory)
            speech = canary.clip(whisper)
            silence = silence_after(whisper, speech)
            model = Model(name, models.sha256_of(directory), whisper, silence)
            canary.listen(model, speech)
        except (RuntimeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise models.unavailable(name, _cause(error)) from error
        return model

    def _read(self, directory: Path) -> WhisperModel:
        return WhisperModel(
            str(directory),
            device=self.plan.kind,
            compute_type=self.plan.compute_type,
            cpu_threads=self.plan.threads,
            num_workers=self.plan.workers,
            local_files_only=True,
        )


def _cause(error: Exception) -> str:
    """Say why a model cannot be used, with CTranslate2's words where these are of the device."""
    text = str(error).rstrip(".")
    return f"{text}." if _OF_THE_DEVICE.search(text) else "its files cannot be read."


def _return_memory() -> None:
    """Have glibc give freed memory to the system, which it would keep for itself."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
