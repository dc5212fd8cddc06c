"""``make bench-eta``: how far off the estimated end is, from the middle of a uniform batch on.

The whole product transcribes one video of some minutes ten times as one batch. Each estimate that
a watcher sees after half of the audio is compared with the end that came.
"""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from batchscribe.client import Client
from batchscribe.local.plan import StackSettings
from batchscribe.local.stack import running

from tests.media import decode, encode

MODEL = "tiny.en"
CLIP = Path(__file__).parent.parent / "samples" / "bread.webm"
REPEATS = 12  # Of the 16 s clip, in each video.
VIDEOS = 10


@dataclass(frozen=True)
class Estimate:
    """What a watcher was told at one moment; seconds since 1970."""

    at: float
    end: float


async def estimates(client: Client, url: str) -> tuple[float, float, list[Estimate]]:
    """Return start and end of a batch, and what was estimated from its middle on."""
    batch = await client.create_batch([url] * VIDEOS)
    told = []
    async for event in client.watch(batch.batch_id):
        if event.progress.fraction >= 0.5 and event.HasField("estimated_end_time"):
            at, end = event.event_time.ToMilliseconds(), event.estimated_end_time.ToMilliseconds()
            told.append(Estimate(at / 1000, end / 1000))
    ended = await client.get_batch(batch.batch_id)
    start, end = ended.start_time.ToMilliseconds(), ended.end_time.ToMilliseconds()
    return start / 1000, end / 1000, told


async def measure(folder: Path) -> tuple[float, float, list[Estimate]]:
    media = folder / "media"
    media.mkdir()
    talk = media / "talk.mp3"
    talk.write_bytes(encode(np.tile(decode(CLIP), REPEATS), "mp3"))
    async with (
        running(StackSettings(folder, model=MODEL, media_root=media), print) as server,
        Client(server.address, server.api_key) as client,
    ):
        return await estimates(client, talk.as_uri())


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        start, end, told = asyncio.run(measure(Path(folder)))
    for estimate in told:
        print(f"{estimate.at - start:6.1f} s: end estimated at {estimate.end - start:.1f} s")
    worst = max(abs(estimate.end - end) for estimate in told) / (end - start)
    print(f"bench-eta: real_s={end - start:.1f} estimates={len(told)} worst_error={worst:.1%}")


if __name__ == "__main__":
    main()
