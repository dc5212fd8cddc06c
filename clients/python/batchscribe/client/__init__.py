"""The Batchscribe SDK: transcribe many videos with one request.

``Client`` is asynchronous and does everything; ``transcribe`` is one blocking generator for
scripts and notebooks. Messages are those of the contract (``batchscribe.v1``).
"""

from batchscribe.client.blocking import transcribe
from batchscribe.client.client import Client
from batchscribe.client.errors import BatchscribeError
from batchscribe.client.states import ENDED_BATCH_STATES, ENDED_ITEM_STATES, BatchPicture
from batchscribe.v1.batch_pb2 import Batch, BatchItem, BatchOptions, TranscribeOptions, VideoSpec
from batchscribe.v1.batch_service_pb2 import Model, WatchBatchResponse
from batchscribe.v1.transcript_pb2 import Segment, Transcript, Word
from batchscribe.v1.webhook_service_pb2 import Delivery

__all__ = [
    "ENDED_BATCH_STATES",
    "ENDED_ITEM_STATES",
    "Batch",
    "BatchItem",
    "BatchOptions",
    "BatchPicture",
    "BatchscribeError",
    "Client",
    "Delivery",
    "Model",
    "Segment",
    "TranscribeOptions",
    "Transcript",
    "VideoSpec",
    "WatchBatchResponse",
    "Word",
    "transcribe",
]
