"""A webhook receiver that is often out of order, and remembers which messages it accepted."""

import random
from collections import Counter

from tests.webhook_receiver import Received, Reply, WebhookReceiver, hang_up, status

REFUSED_SHARE = 0.3


class Receiver(WebhookReceiver):
    """Refuses some messages, hangs up on others; ``accepted`` counts the rest by webhook id."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.accepted: Counter[str] = Counter()
        self._dice = random.Random(seed)

    def reply_to(self, message: Received) -> Reply:
        if self._dice.random() < REFUSED_SHARE:
            return self._dice.choice((status(500), hang_up))
        self.accepted[message.webhook_id] += 1
        return status(204)
