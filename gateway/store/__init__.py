"""Batch state in Redis: keys, Lua transitions, reads and the wake stream."""

from gateway.store.batch_store import BatchStore, Lease, NewBatch, Release, Renewal
from gateway.store.connection import SchemaTooNew, check_schema, connect, durability_gaps
from gateway.store.outbox import Message, Outbox, SendResult
from gateway.store.reading import ENDED_BATCH_STATES, StoredBatch, StoredEvent
from gateway.store.tally import Tally
from gateway.store.wake import Wake, WakeStream

__all__ = [
    "ENDED_BATCH_STATES",
    "BatchStore",
    "Lease",
    "Message",
    "NewBatch",
    "Outbox",
    "Release",
    "Renewal",
    "SchemaTooNew",
    "SendResult",
    "StoredBatch",
    "StoredEvent",
    "Tally",
    "Wake",
    "WakeStream",
    "check_schema",
    "connect",
    "durability_gaps",
]
