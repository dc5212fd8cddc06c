"""The models that can be asked for: those configured and those seen on transcribers of late."""

import time

from batchscribe.transcriber.v1.transcriber_service_pb2 import WatchStatusResponse
from batchscribe.v1.batch_service_pb2 import Model

from gateway.pool import TranscriberPool
from gateway.store import Offers, Seen
from gateway.validation import ModelFacts

# How often the same offer is written down again; it counts for 7 days.
NOTE_SECONDS = 60.0


class ModelCatalog:
    """Knows which models a batch may name, also while no transcriber is up."""

    def __init__(self, offers: Offers, configured: tuple[str, ...], default: str) -> None:
        self._offers = offers
        self._configured = configured
        self.default = default
        self._noted: dict[str, float] = {}

    async def note(self, status: WatchStatusResponse) -> None:
        """Remember what a transcriber offers. Raises StoreUnavailable."""
        now = time.monotonic()
        due = [
            model
            for model in status.models
            if now - self._noted.get(model.name, -NOTE_SECONDS) >= NOTE_SECONDS
        ]
        if due:
            await self._offers.see(due, _now_ms())
            self._noted.update((model.name, now) for model in due)

    async def usable(self) -> dict[str, ModelFacts]:
        """Return every model that CreateBatch accepts, by name. Raises StoreUnavailable."""
        return self._usable(await self._offers.seen(_now_ms()))

    def _usable(self, seen: Seen) -> dict[str, ModelFacts]:
        # By the naming of Whisper's models, those that know only English end in ".en".
        models = {name: ModelFacts(name, not name.endswith(".en")) for name in self._configured}
        for name, (model, _) in seen.items():
            models[name] = ModelFacts(name, model.multilingual)
        return models

    async def listed(self, pool: TranscriberPool) -> list[Model]:
        """Return the usable models for ListModels, by name. Raises StoreUnavailable."""
        seen = await self._offers.seen(_now_ms())
        loaded = frozenset[str]().union(*(m.loaded_models for m in pool.members.values()))
        models = []
        for name, facts in sorted(self._usable(seen).items()):
            model = Model(
                name=name,
                multilingual=facts.multilingual,
                is_default=name == self.default,
                loaded=name in loaded,
            )
            if name in seen:
                model.last_seen_time.FromMilliseconds(seen[name][1])
            models.append(model)
        return models


def _now_ms() -> int:
    return int(time.time() * 1000)
