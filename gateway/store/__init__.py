"""Batch state in Redis: keys, Lua transitions, reads and the wake stream."""

from gateway.store.accounts import Account, Accounts, Audited, Identity, KeyState, NewKey, StoredKey
from gateway.store.batch_store import BatchStore
from gateway.store.connection import (
    SchemaTooNew,
    check_schema,
    connect,
    durability_gaps,
    mean_write_ms,
)
from gateway.store.figures import Ends, Figures, Queue
from gateway.store.leases import Lease, Release, Renewal, Vacancy
from gateway.store.new_batch import NewBatch
from gateway.store.offers import Offers, Seen
from gateway.store.outbox import Message, Outbox, SendResult
from gateway.store.reading import ENDED_BATCH_STATES, StoredBatch, StoredEvent
from gateway.store.tally import Tally
from gateway.store.usage import MINUTE_MS, Allowance, Ledger, Standing, Usage
from gateway.store.wake import Wake, WakeStream

__all__ = [
    "ENDED_BATCH_STATES",
    "MINUTE_MS",
    "Account",
    "Accounts",
    "Allowance",
    "Audited",
    "BatchStore",
    "Ends",
    "Figures",
    "Identity",
    "KeyState",
    "Lease",
    "Ledger",
    "Message",
    "NewBatch",
    "NewKey",
    "Offers",
    "Outbox",
    "Queue",
    "Release",
    "Renewal",
    "SchemaTooNew",
    "Seen",
    "SendResult",
    "Standing",
    "StoredBatch",
    "StoredEvent",
    "StoredKey",
    "Tally",
    "Usage",
    "Vacancy",
    "Wake",
    "WakeStream",
    "check_schema",
    "connect",
    "durability_gaps",
    "mean_write_ms",
]
