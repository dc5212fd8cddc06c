"""``make bench-gateway``: how fast one gateway is, what an item costs, how late watchers learn.

An arq worker that runs jobs that do nothing takes its turn on the same Valkey in every round, so
that both meet the same machine.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from statistics import median

import uvloop

from bench import rig
from bench.load import Load
from bench.rig import Figures
from tests.valkey import Valkey

MAX_JOBS = (10, 100, 1000)
PACE = 200
GOAL_WATCHERS = 200
MAX_SIZE = 500
HEADINGS = f"{'items/s':>9}{'gateway ms':>12}{'Valkey ms':>11}{'MiB':>7}{'p50 ms':>8}{'p99 ms':>8}"


@dataclass(frozen=True)
class Plan:
    """What to run: batches of ``sizes`` over queues of ``queued`` items, and watched loads."""

    rounds: int
    queued: Sequence[int]
    sizes: Sequence[int]
    watchers: Sequence[int]
    watched_items: int
    arq_jobs: int

    @property
    def full_speed(self) -> list[Load]:
        return [Load(n // size, size) for size in self.sizes for n in self.queued if n >= size]

    @property
    def watched(self) -> list[Load]:
        """Batches of at least two videos, one for each watcher."""
        most = self.watched_items
        return [Load(n, max(2, min(MAX_SIZE, most // n))) for n in self.watchers]


FULL = Plan(5, (100, 1_000, 10_000), (10, 100, 500), (1, 20, GOAL_WATCHERS, 2_000), 2_000, 2_000)
QUICK = Plan(1, (100, 1_000), (10, 100), (1, GOAL_WATCHERS), 1_000, 1_000)


@dataclass
class Results:
    """All runs by what was run."""

    full_speed: defaultdict[Load, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    watched: defaultdict[Load, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    arq: defaultdict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def best_arq(self) -> float:
        return max(median(rates) for rates in self.arq.values())


async def measure(plan: Plan, valkey: Valkey, arq_python: str) -> Results:
    """Run everything once in each round, so that a busy moment of the machine hits all alike."""
    results = Results()
    for number in range(plan.rounds):
        for max_jobs in MAX_JOBS:
            rate = await rig.arq(valkey, arq_python, plan.arq_jobs, max_jobs)
            results.arq[max_jobs].append(rate)
        for what in plan.full_speed:
            results.full_speed[what].append(await rig.at_full_speed(valkey, what))
        for what in plan.watched:
            results.watched[what].append(await rig.at_a_pace(valkey, what, PACE))
        print(f"Round {number + 1} of {plan.rounds} is done.", flush=True)
    return results


def report(plan: Plan, results: Results) -> None:
    """Print tables of medians, and the line of the goals."""
    print(f"\nAt full speed, one watcher for each batch; medians of {plan.rounds}; CPU per item.")
    print(f"{'batch of':>9}{'queued':>8}{HEADINGS}")
    for what, runs in results.full_speed.items():
        print(f"{what.size:>9}{what.items:>8}{_row(middle(runs))}")
    for size in plan.sizes:
        spread = _spread(results, size)
        print(f"Batches of {size}: an item costs the gateway the same, ±{spread:.0f} %.")
    print(f"\nAt {PACE} items/s.\n{'watchers':>9}{'items':>8}{HEADINGS}")
    for what, runs in results.watched.items():
        print(f"{what.batches:>9}{what.items:>8}{_row(middle(runs))}")
    print(f"A watcher with its batch costs the gateway {_watcher_kib(results):.0f} KiB.")
    print("\narq, one worker: " + _arq_line(results.arq))
    print(_last_line(plan, results))


def middle(runs: Sequence[Figures]) -> Figures:
    """Return the median of every figure by itself."""
    return Figures(*(median(values) for values in zip(*map(astuple, runs), strict=True)))


def _row(figures: Figures) -> str:
    return (
        f"{figures.items_per_second:>9.0f}{figures.gateway_ms:>12.2f}{figures.valkey_ms:>11.2f}"
        f"{figures.peak_mib:>7.0f}{figures.p50_ms:>8.1f}{figures.p99_ms:>8.1f}"
    )


def _spread(results: Results, size: int) -> float:
    """Return half the range of an item's cost over the queue lengths, in percent of its middle."""
    rows = results.full_speed.items()
    costs = [middle(runs).gateway_ms for what, runs in rows if what.size == size]
    return 100 * (max(costs) - min(costs)) / (max(costs) + min(costs))


def _watcher_kib(results: Results) -> float:
    few, *_, many = sorted(results.watched, key=lambda what: what.batches)
    mib = [middle(results.watched[what]).peak_mib for what in (few, many)]
    return (mib[1] - mib[0]) * 1024 / (many.batches - few.batches)


def _arq_line(rates: Mapping[int, Sequence[float]]) -> str:
    return ", ".join(f"max_jobs={jobs} {median(of):.0f} jobs/s" for jobs, of in rates.items())


def _last_line(plan: Plan, results: Results) -> str:
    hundreds = Load(max(plan.queued) // 100, 100)
    items = middle(results.full_speed[hundreds]).items_per_second
    (p99,) = (
        middle(runs).p99_ms
        for what, runs in results.watched.items()
        if what.batches == GOAL_WATCHERS
    )
    return (
        f"bench-gateway: items_per_s={items:.0f} arq_jobs_per_s={results.best_arq:.0f} "
        f"ratio={items / results.best_arq:.2f} p99_ms={p99:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arq-python", required=True, help="the python of a venv with arq")
    parser.add_argument("--quick", action="store_true", help="a minute instead of ten")
    chosen = parser.parse_args()
    plan = QUICK if chosen.quick else FULL
    valkey = Valkey()
    try:
        valkey.start()
        report(plan, uvloop.run(measure(plan, valkey, chosen.arq_python)))
    finally:
        valkey.close()


if __name__ == "__main__":
    main()
