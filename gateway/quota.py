"""What a user may do and has had, as GetQuota tells it."""

from batchscribe.v1.batch_service_pb2 import Quota

from gateway.store import Standing
from gateway.tiers import Tier


def quota(name: str, tier: Tier, standing: Standing) -> Quota:
    """Return the limits of the tier ``name`` and what ``standing`` leaves of them."""
    usage, allowance = standing.usage, tier.allowance
    told = Quota(
        tier=name,
        max_videos_per_batch=tier.videos_per_batch,
        max_concurrent=tier.max_concurrent,
        batches_per_minute=allowance.batches_per_minute,
        monthly_videos=allowance.monthly_videos,
        videos_used=usage.videos,
        videos_reserved=usage.reserved,
    )
    if standing.rate_wait_ms:
        told.next_batch_time.FromMilliseconds(usage.now_ms + standing.rate_wait_ms)
    if allowance.monthly_audio_ms is not None:
        told.monthly_audio.FromMilliseconds(allowance.monthly_audio_ms)
    told.audio_used.FromMilliseconds(usage.audio_ms)
    told.reset_time.FromDatetime(usage.reset_time)
    return told
