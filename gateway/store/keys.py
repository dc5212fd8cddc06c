"""Every Redis key: its name, type and life. Nothing outside ``gateway.store`` names one.

One constant hash tag keeps all keys in one slot, so each transition is one script on a cluster too.
Each name that holds a user's data carries the user: another user's ids simply do not exist.
Scripts receive this table as ``KEY`` and fill it in with ``string.format``.
"""

from collections.abc import Mapping

TEMPLATES: Mapping[str, str] = {
    # A batch: HASH until the batch is deleted.
    "batch": "{bs}:u:%s:batch:%s",
    # An item: HASH until its batch is deleted.
    "item": "{bs}:u:%s:item:%s",
    # What changed: STREAM with ids <revision>-1 until the batch is deleted.
    "events": "{bs}:u:%s:events:%s",
    # Items of a batch that may start now: ZSET by rank; gone when empty.
    "ready": "{bs}:u:%s:ready:%s",
    # Batches of a user that can start an item: ZSET by turn; gone when empty.
    "runnable": "{bs}:u:%s:runnable",
    # Batches of a user: ZSET by creation time in ms; members leave with their batch.
    "index": "{bs}:u:%s:index",
    # A request_id already used: HASH, 24 hours.
    "request": "{bs}:u:%s:request:%s",
    # When a user created their latest batches, newest first: LIST, 1 minute.
    "rate": "{bs}:u:%s:rate",
    # A user's videos and audio of one month: HASH, 400 days.
    "usage": "{bs}:u:%s:usage:%s",
    # Users with usage in one month: SET, 400 days.
    "usage_users": "{bs}:usage:%s",
    # A transcript, zstd over protobuf: STRING until the batch is deleted.
    "transcript": "{bs}:u:%s:transcript:%s",
    # The newest item with the transcript of a job, by digest: STRING until its batch is deleted.
    "result": "{bs}:u:%s:result:%s",
    # SHA-256 of the weights that each model was last used with: HASH, kept.
    "weights": "{bs}:weights",
    # Users with runnable batches: ZSET by service received; gone when empty.
    "users": "{bs}:users",
    # Service received by user since somebody began to wait: HASH; gone when nobody waits.
    "served": "{bs}:served",
    # Leased items as "<user>/<item_id>": ZSET by end of lease in ms.
    "leases": "{bs}:leases",
    # Items that wait for their next attempt as "<user>/<item_id>": ZSET by time in ms.
    "delayed": "{bs}:delayed",
    # Leased items of one transcriber: SET; gone when empty.
    "worker": "{bs}:worker:%s",
    # The one item that runs alone on a transcriber: STRING, until its lease ends.
    "alone": "{bs}:alone:%s",
    # Items whose work may still run at one transcriber: ZSET by time offered, 60 seconds.
    "adopt": "{bs}:adopt:%s",
    # Items that were at work when a run of a transcriber vanished: SET by boot id, 1 hour.
    "suspects": "{bs}:suspects:%s",
    # A site that asked us to wait: HASH until it may be asked again, and an hour.
    "breaker": "{bs}:breaker:%s",
    # Answer of a claim, for its replay: STRING, 10 seconds, as its leases.
    "op": "{bs}:op:%s",
    # Batches to delete as "<user>/<batch_id>": ZSET by time in ms.
    "expiry": "{bs}:expiry",
    # Batches that must have ended as "<user>/<batch_id>": ZSET by time in ms.
    "deadlines": "{bs}:deadlines",
    # A webhook message of a batch: HASH until its batch is deleted.
    "message": "{bs}:u:%s:message:%s",
    # Messages to send as "<user>/<webhook_id>": ZSET by time due, or by end of lease, in ms.
    "outbox": "{bs}:outbox",
    # What signs a user's webhooks: ZSET by end of validity in ms, infinite for the newest; kept.
    "secrets": "{bs}:u:%s:secrets",
    # A user: HASH, kept.
    "account": "{bs}:account:%s",
    # All users: ZSET by creation time in ms, kept.
    "accounts": "{bs}:accounts",
    # An API key: HASH, 90 days after its end.
    "apikey": "{bs}:apikey:%s",
    # Ids of a user's API keys: ZSET by creation time in ms, kept.
    "apikeys": "{bs}:u:%s:apikeys",
    # What operators did: STREAM trimmed to about 10,000.
    "audit": "{bs}:audit",
    # Time of the last reap in ms: STRING, kept.
    "reaped": "{bs}:reaped",
    # Models seen on transcribers: ZSET by time in ms, and HASH of ServedModel; kept.
    "models_seen": "{bs}:models:seen",
    "models": "{bs}:models",
    # What ended since a gateway last asked, for its metrics: HASH, 1 minute from then.
    "ended": "{bs}:ended",
    # Turn counter of `runnable`: STRING, kept.
    "turn": "{bs}:turn",
    # One entry for each transition, for gateways to wake on: STREAM trimmed to about 10,000.
    "wake": "{bs}:wake",
    # What a doctor times writes with: STRING, 1 minute.
    "doctor": "{bs}:doctor",
    # Version of the stored data: STRING, kept.
    "schema": "{bs}:schema",
}


def key(name: str, *parts: str) -> str:
    """Return the key ``name`` for ``parts``, such as ``key("batch", user, batch_id)``."""
    return TEMPLATES[name] % parts
