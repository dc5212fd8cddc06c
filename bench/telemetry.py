"""``make bench-telemetry``: what metrics and traces cost a gateway that works at full speed.

The CPU time of a gateway differs from run to run by more than telemetry takes, as ``nothing again``
shows; so the same recording is also timed alone, and that is what the last line is made of.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping
from statistics import median

import uvloop

from bench import processes, rig
from bench.load import Load
from tests.collector import Collector, collecting
from tests.valkey import Valkey

LOAD = Load(20, 100)
NOTHING, METRICS, DEFAULT, ALL = "nothing", "metrics", "default", "all traces"

Costs = Mapping[str, float]


def variants(collector: Collector) -> Mapping[str, Mapping[str, str]]:
    """Return the environments that are compared, by name."""
    metrics = {"GATEWAY_METRICS_LISTEN": "127.0.0.1:0"}
    default = metrics | {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{collector.server_port}/v1/traces",
        # Timed alone, spans are made faster than anywhere else: none may be dropped.
        "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
    }
    return {
        NOTHING: {},
        METRICS: metrics,
        DEFAULT: default,
        ALL: default | {"OTEL_TRACES_SAMPLER": "parentbased_always_on"},
        "nothing again": {},
    }


async def measure(rounds: int, valkey: Valkey, collector: Collector) -> tuple[Costs, Costs]:
    """Return the CPU milliseconds of an item in a gateway, and of its recording alone.

    They are medians over rounds that take every variant in turn.
    """
    whole, alone = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    turns = list(variants(collector).items())
    for _ in range(rounds):
        for name, environment in turns:
            figures = await rig.at_full_speed(valkey, LOAD, **environment)
            whole[name].append(figures.gateway_ms)
            async with processes.started("-m", "bench.recorder", environment=environment) as one:
                alone[name].append(float(one.said))
        turns.reverse()
    return _medians(whole), _medians(alone)


def report(whole: Costs, alone: Costs) -> None:
    """Print a table, and the shares in one line."""
    shares = {name: 100 * (alone[name] - alone[NOTHING]) / whole[NOTHING] for name in alone}
    print(f"{'':>16}{'gateway, ms an item':>28}{'recording alone, ms':>28}")
    for name, cost in whole.items():
        print(
            f"{name:>16}{cost:>18.3f}{100 * (cost / whole[NOTHING] - 1):>+8.1f} %"
            f"{alone[name]:>18.3f}{shares[name]:>+8.1f} %"
        )
    print(
        f"bench-telemetry: metrics_percent={shares[METRICS]:.1f} "
        f"default_percent={shares[DEFAULT]:.1f} traces_percent={shares[ALL]:.1f}"
    )


def _medians(found: Mapping[str, list[float]]) -> Costs:
    return {name: median(costs) for name, costs in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    valkey = Valkey()
    try:
        valkey.start()
        with collecting() as collector:
            report(*uvloop.run(measure(rounds, valkey, collector)))
    finally:
        valkey.close()


if __name__ == "__main__":
    main()
