"""``make bench-telemetry``: what metrics and traces cost a gateway that works at full speed.

The gateway's own CPU time is compared, so that the collector beside it does not count.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping
from statistics import median

import uvloop

from bench import rig
from bench.load import Load
from tests.collector import Collector, collecting
from tests.valkey import Valkey

LOAD = Load(20, 100)
METRICS = {"GATEWAY_METRICS_LISTEN": "127.0.0.1:0"}


def variants(collector: Collector) -> Mapping[str, Mapping[str, str]]:
    """Return the environments of the gateway that are compared, by name."""
    address = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    traces = METRICS | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": address}
    sampled = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
    return {
        "nothing": {},
        "metrics": METRICS,
        "a tenth of traces": traces | sampled,
        "all traces": traces,
    }


async def measure(rounds: int, valkey: Valkey, collector: Collector) -> Mapping[str, float]:
    """Return the CPU milliseconds of an item; each round takes every variant in turn."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, environment in variants(collector).items():
            figures = await rig.at_full_speed(valkey, LOAD, **environment)
            found[name].append(figures.gateway_ms)
    return {name: median(costs) for name, costs in found.items()}


def report(costs: Mapping[str, float]) -> None:
    """Print a table, and the shares in one line."""
    base = costs["nothing"]
    shares = {name: 100 * (cost / base - 1) for name, cost in costs.items()}
    for name, cost in costs.items():
        print(f"{name:>20}{cost:>8.3f} ms an item{shares[name]:>+8.1f} %")
    print(
        f"bench-telemetry: metrics_percent={shares['metrics']:.1f} "
        f"sampled_percent={shares['a tenth of traces']:.1f} "
        f"traces_percent={shares['all traces']:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
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
