"""Operators who look at what belongs to a user: what they may see, and the record of each look.

Transcripts are not among it: they are the user's alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from gateway.access import Caller, Role
from gateway.errors import PermissionDenied
from gateway.store import Accounts

log = structlog.get_logger()

# Metadata that names the user whose batches an admin wants to see.
ON_BEHALF_OF = "x-batchscribe-user"

READS = frozenset(
    {
        "/batchscribe.v1.BatchService/GetBatch",
        "/batchscribe.v1.BatchService/ListBatches",
        "/batchscribe.v1.BatchService/ListBatchItems",
        "/batchscribe.v1.BatchService/WatchBatch",
        "/batchscribe.v1.WebhookService/ListDeliveries",
    }
)


class Oversight:
    """Lets admins stand in for users, and puts on record what they looked at."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def stand_in(self, admin: Caller, users: Sequence[str], method: str) -> Caller:
        """Return the user as a caller. Raises PermissionDenied, whether the user exists or not."""
        if admin.role is not Role.ADMIN:
            raise PermissionDenied(
                "ADMIN_ONLY", f"Only an admin may send {ON_BEHALF_OF}; leave it out."
            )
        if method not in READS or len(users) != 1:
            raise PermissionDenied(
                "READ_ONLY", "An admin may read the batches of one user at a time, and no more."
            )
        return replace(admin, user=users[0], role=Role.USER)

    async def record(self, admin: str, user: str, method: str, request: Any) -> None:
        """Write down what is about to be read. Raises StoreUnavailable: then it must not be."""
        action, batch_id = method.rpartition("/")[2], getattr(request, "batch_id", "")
        await self._accounts.audit(admin, action, user, batch_id)
        log.info("an admin reads", admin=admin, user=user, action=action, batch_id=batch_id)
