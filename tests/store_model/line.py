"""Who may have the next slot: a user with the least service, with the batch whose turn it is."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tests.store_model.batch import Batch, Item


@dataclass
class Line:
    """The users who wait, and what each has had of the slots since somebody began to wait."""

    service: dict[str, float] = field(default_factory=dict)
    waiting_users: set[str] = field(default_factory=set)
    turns: int = 0

    def settle(self, batches: Collection[Batch]) -> None:
        """Let in who can start something, and out who cannot."""
        self.turns += 1
        for batch in batches:
            if not batch.is_runnable:
                batch.turn = None
            elif batch.turn is None:
                batch.turn = self.turns
        self._settle_users({batch.user for batch in batches if batch.is_runnable})

    def _settle_users(self, waiting: set[str]) -> None:
        # Who was away starts level with the least served at least: idleness earns no credit.
        least = min((self.service[user] for user in waiting & self.waiting_users), default=0.0)
        for user in waiting - self.waiting_users:
            self.service[user] = max(least, self.service.get(user, 0.0))
        self.waiting_users = waiting
        if not waiting:
            self.service.clear()

    def first(self, startable: Iterable[tuple[Batch, Item]]) -> list[Item]:
        """Whatever may be next; several when users or turns are level."""
        waiting = list(startable)
        least = min((self.service[batch.user] for batch, _ in waiting), default=0.0)
        turns: dict[str, list[int]] = defaultdict(list)
        for batch, _ in waiting:
            turns[batch.user].append(batch.turn or 0)
        return [
            item
            for batch, item in waiting
            if self.service[batch.user] == least and batch.turn == min(turns[batch.user])
        ]

    def charge(self, batch: Batch) -> None:
        """Count a start for its user, and send the batch behind the user's others."""
        self.service[batch.user] += 1 / batch.weight
        self.turns += 1
        batch.turn = self.turns
