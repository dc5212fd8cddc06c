"""The peer: one arq worker that runs jobs that do nothing. Runs in a venv of its own.

arq pins an older redis-py than the gateway uses. Prints the jobs per second of the worker alone:
the queue is filled first.
"""

import argparse
import asyncio
import json
import time
from typing import Any

import uvloop
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker

POLL_SECONDS = 0.01
_FILL_AT_A_TIME = 100


async def nothing(_: dict[Any, Any]) -> None:
    """The job."""


async def fill(pool: ArqRedis, jobs: int) -> None:
    for start in range(0, jobs, _FILL_AT_A_TIME):
        count = min(_FILL_AT_A_TIME, jobs - start)
        await asyncio.gather(*(pool.enqueue_job("nothing") for _ in range(count)))


async def jobs_per_second(redis_url: str, jobs: int, max_jobs: int) -> float:
    """Return how many of ``jobs`` queued jobs one worker ends in a second."""
    pool = await create_pool(RedisSettings.from_dsn(redis_url))
    await fill(pool, jobs)
    worker = Worker(
        functions=[nothing],
        redis_pool=pool,
        burst=True,
        max_jobs=max_jobs,
        poll_delay=POLL_SECONDS,
        handle_signals=False,
        log_results=False,
    )
    begun = time.perf_counter()
    await worker.async_run()
    elapsed = time.perf_counter() - begun
    assert worker.jobs_complete == jobs, worker.jobs_complete
    await worker.close()
    return jobs / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("redis_url")
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--max-jobs", type=int, required=True)
    chosen = parser.parse_args()
    rate = uvloop.run(jobs_per_second(chosen.redis_url, chosen.jobs, chosen.max_jobs))
    print(json.dumps(rate), flush=True)


if __name__ == "__main__":
    main()
