"""``make bench-overhead``: what the product adds to a batch of one short clip.

The whole product (Redis, gateway, transcriber, SDK) and a plain script that fetches, decodes and
transcribes with faster-whisper take turns; both have their model in memory. Our engine is not
faster-whisper's, so what orchestration takes is also measured against our own work alone.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from batchscribe.client import Client
from batchscribe.local.plan import StackSettings
from batchscribe.local.stack import running

from bench import processes
from tests.media import Answer, media_server

MODEL = "tiny.en"
CLIP = "train.mp3"
SAMPLES = Path(__file__).parent.parent / "samples"
WARM_UPS = 2


async def through_product(client: Client, url: str) -> tuple[float, float]:
    """Return the milliseconds from CreateBatch to the end of the watch, and those of the work."""
    begun = time.perf_counter()
    batch = await client.create_batch([url])
    transcription_id = ""
    async for event in client.watch(batch.batch_id):
        transcription_id = event.item_changed.transcription_id or transcription_id
    elapsed = time.perf_counter() - begun
    assert transcription_id, event
    timings = (await client.transcript(transcription_id)).provenance.timings
    work = (timings.fetch, timings.decode, timings.transcribe)
    return elapsed * 1000, sum(span.ToMilliseconds() for span in work)


async def through_script(script: processes.Service, url: str) -> float:
    """Return the milliseconds until the script has answered with text."""
    begun = time.perf_counter()
    await script.tell(url)
    text = await script.hear()
    elapsed = time.perf_counter() - begun
    assert text
    return elapsed * 1000


async def measure(rounds: int, folder: Path) -> tuple[list[float], list[float], list[float]]:
    """Return, in milliseconds for each round, the product's time, its work in it, the script's."""
    product_ms, work_ms, plain_ms = [], [], []
    plain = ("-m", "bench.plain", "--model", MODEL, "--model-dir", str(folder / "models"))
    with media_server() as media:
        url = media.serve(CLIP, Answer((SAMPLES / CLIP).read_bytes(), "audio/mpeg"))
        # The product does not fetch from this machine unless its operator says so.
        os.environ["TRANSCRIBER_EGRESS_ALLOW"] = media.url.removeprefix("http://")
        async with (
            running(StackSettings(folder, model=MODEL), print) as server,
            processes.started(*plain) as script,
            Client(server.address, server.api_key) as client,
        ):
            for _ in range(rounds + WARM_UPS):
                whole, work = await through_product(client, url)
                product_ms.append(whole)
                work_ms.append(work)
                plain_ms.append(await through_script(script, url))
    return product_ms[WARM_UPS:], work_ms[WARM_UPS:], plain_ms[WARM_UPS:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        runs = asyncio.run(measure(chosen.rounds, Path(folder)))
    product_ms, work_ms, plain_ms = map(median, runs)
    print(
        f"bench-overhead: product_ms={product_ms:.0f} plain_ms={plain_ms:.0f} "
        f"overhead_ms={product_ms - plain_ms:.0f} orchestration_ms={product_ms - work_ms:.0f}"
    )


if __name__ == "__main__":
    main()
