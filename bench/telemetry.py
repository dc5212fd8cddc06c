"""``make bench-telemetry``: what metrics and traces cost a gateway that works at full speed.

The gateway's own CPU time is compared, so that the collector beside it does not count; and only
within a round, as machines change from one to the next. What the same gateway costs twice in a
round tells how far to trust the rest.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

import uvloop

from bench import rig
from bench.load import Load
from tests.collector import Collector, collecting
from tests.valkey import Valkey

LOAD = Load(20, 100)
NOTHING, METRICS, DEFAULT, ALL = "nothing", "metrics", "default", "all traces"
AGAIN = "nothing again"


def variants(collector: Collector) -> Mapping[str, Mapping[str, str]]:
    """Return the environments of the gateway that are compared, by name."""
    address = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    metrics = {"GATEWAY_METRICS_LISTEN": "127.0.0.1:0"}
    default = metrics | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": address}
    return {
        NOTHING: {},
        METRICS: metrics,
        DEFAULT: default,
        ALL: default | {"OTEL_TRACES_SAMPLER": "parentbased_always_on"},
        AGAIN: {},
    }


async def measure(
    rounds: int, valkey: Valkey, collector: Collector
) -> Mapping[str, Sequence[float]]:
    """Return the CPU milliseconds of an item in each round, which takes every variant in turn."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    turns = list(variants(collector).items())
    for _ in range(rounds):
        for name, environment in turns:
            figures = await rig.at_full_speed(valkey, LOAD, **environment)
            found[name].append(figures.gateway_ms)
        turns.reverse()
    return found


def report(costs: Mapping[str, Sequence[float]]) -> None:
    """Print a table, and the shares in one line."""
    shares = {name: _share(found, costs[NOTHING]) for name, found in costs.items()}
    for name, found in costs.items():
        print(f"{name:>20}{median(found):>8.3f} ms an item{shares[name]:>+8.1f} %")
    print(
        f"bench-telemetry: metrics_percent={shares[METRICS]:.1f} "
        f"default_percent={shares[DEFAULT]:.1f} traces_percent={shares[ALL]:.1f} "
        f"noise_percent={abs(shares[AGAIN]):.1f}"
    )


def _share(costs: Sequence[float], base: Sequence[float]) -> float:
    """Return by how many percent more a variant costs in the median round."""
    return median(100 * (cost / without - 1) for cost, without in zip(costs, base, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    valkey = Valkey()
    try:
        valkey.start()
        with collecting() as collector:
            report(uvloop.run(measure(rounds, valkey, collector)))
    finally:
        valkey.close()


if __name__ == "__main__":
    main()
