"""Why an item fails, or is not all there is, without its transcriber having said so."""

from batchscribe.v1.batch_pb2 import ItemError, ItemWarning

WORKER_LOST = ItemError(
    reason="WORKER_LOST",
    message="The transcriber at work on this video went away again and again.",
    hint="Retry the batch later; the transcribers may have been restarting.",
    retryable=True,
)
POISON = ItemError(
    reason="POISON",
    message="This video brought its transcriber down every time it was tried.",
    hint="Convert it with another program and try the result; please report the video.",
)
EXPIRED = ItemError(
    reason="EXPIRED",
    message="The batch did not end within 7 days, so what was left of it was given up.",
    hint="Retry the batch to run what is left.",
    retryable=True,
)
PLAYLIST_OVER_QUOTA = ItemError(
    reason="VIDEO_QUOTA_EXCEEDED",
    message="The playlist has more videos than you may still have this month.",
    hint="Name some of its videos by themselves, or retry the batch next month.",
    retryable=True,
)
PLAYLIST_CUT = ItemWarning(
    reason="PLAYLIST_CUT",
    message="The playlist has more videos than a batch may have: the last of them are left out.",
)
