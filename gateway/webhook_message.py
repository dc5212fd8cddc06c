"""What a webhook says and how it is signed, after Standard Webhooks.

Pure. The body tells of the revision that ended a round of the batch, so every attempt under one
``webhook-id`` sends the same bytes.
"""

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime

from batchscribe.v1.batch_pb2 import Batch
from standardwebhooks import Webhook

from gateway.document import document

# The specification asks for 24 to 64.
_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a secret as Standard Webhooks writes it: ``whsec_`` and base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def body_of(batch: Batch) -> bytes:
    """Return the body that tells how ``batch``, which carries its progress, has ended."""
    told = document(batch)
    body = {
        "type": f"batch.{told.status}",
        "timestamp": told.completed_at,
        "data": told.model_dump(exclude={"results"}),
    }
    return json.dumps(body, separators=(",", ":")).encode()


def headers_of(
    webhook_id: str, at: datetime, body: bytes, signing: Iterable[str]
) -> Mapping[str, str]:
    """Return the headers of one attempt, made ``at`` a time in UTC, with a signature per secret."""
    signatures = (Webhook(secret).sign(webhook_id, at, body.decode()) for secret in signing)
    return {
        "content-type": "application/json",
        "user-agent": "batchscribe",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
