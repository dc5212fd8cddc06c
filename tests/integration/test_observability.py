"""What the dashboard and the alerts ask for is what services record."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
import yaml
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.v1.batch_pb2 import ItemState
from batchscribe.v1.transcript_pb2 import Transcript
from opentelemetry.trace import INVALID_SPAN

from gateway.metrics import Metrics
from gateway.store import Ends
from servicekit.recording import recording
from servicekit.telemetry import Telemetry
from tests.running_gateway import running_gateway
from tests.scrape import scrape
from transcriber.observer import Observer

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
# Those that Prometheus itself adds.
TARGET = {"job", "instance", "le"}


def queries() -> Iterator[tuple[str, str]]:
    """Yield the queries of the dashboard and of the alerts, each with where it stands."""
    dashboard = json.loads((FOLDER / "grafana/dashboards/batchscribe.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            # What Grafana puts in is a duration.
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def named(query: str) -> list[tuple[str, set[str]]]:
    """Return every metric that a query names, with the labels that it is chosen and grouped by.

    Raises ValueError if Prometheus would not take the query.
    """
    found: list[tuple[str, set[str]]] = []

    def visit(part: promql_parser.Expr) -> None:
        if isinstance(part, promql_parser.VectorSelector):
            found.append((part.name or "", {matcher.name for matcher in part.matchers.matchers}))
        elif isinstance(part, promql_parser.AggregateExpr) and part.modifier:
            labels = set(part.modifier.labels)
            found.extend((name, labels) for name, _ in named(str(part.expr)))

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


def record_everything(telemetry: Telemetry) -> None:
    """Record with every instrument there is, once."""
    metrics, transcript = Metrics(telemetry.meter), Transcript()
    transcript.provenance.timings.transcribe.FromSeconds(1)
    metrics.batch_created("tier", 1)
    metrics.attempt_ended(1.0, "OK")
    metrics.transcribed(transcript)
    metrics.leases_lost(1)
    metrics.webhook_tried("delivered")
    metrics._count(Ends({ItemState.ITEM_STATE_SUCCEEDED: 1}, [1.0]))
    observer = Observer(telemetry)
    observer.fetched(child_pb2.Fetched())
    observer.transcribed(child_pb2.Transcribed(rows=1, fill=1), INVALID_SPAN)


async def labels_of_metrics(redis_url: str) -> dict[str, set[str]]:
    """Return every metric that services record, with its labels."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    with recording("test", "127.0.0.1:0") as telemetry:
        record_everything(telemetry)
        async with running_gateway(redis_url, telemetry=telemetry) as gateway:
            await gateway.create("http://x/1")
            for name, *labels in await scrape(telemetry.metrics_address):
                found[name].update(label.partition("=")[0] for label in labels)
    return found


async def test_every_query_names_what_is_recorded(redis_url: str) -> None:
    """Each metric of each query exists, and so do the labels that it is chosen by."""
    known = await labels_of_metrics(redis_url) | {"up": set()}
    unknown = [
        (where, name, labels)
        for where, query in queries()
        for name, labels in named(query)
        if name not in known or labels - known[name] - TARGET
    ]
    assert not unknown


async def test_every_metric_is_shown(redis_url: str) -> None:
    """What is recorded is on the dashboard, in an alert or, at the least, on the page."""
    known = await labels_of_metrics(redis_url)
    ours = {name for name in known if name.startswith(("batch", "rpc"))}
    page = (FOLDER.parents[1] / "docs" / "telemetry.md").read_text()
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in ours}
    assert not {name for name in families if f"`{name}`" not in page}


def test_every_alert_says_what_to_do() -> None:
    """The page for operators has a row for each alert, and for no other."""
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"]]
    page = (FOLDER.parents[1] / "docs" / "operations.md").read_text()
    assert re.findall(r"^\| (Batchscribe\w+) \|", page, re.MULTILINE) == alerts


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("sum by (le) (rate(x_total[5m]))", [("x_total", {"le"}), ("x_total", set())]),
        ('max(a_b{c="d",e!~"f"}) > 1 and g_h == 0', [("a_b", {"c", "e"}), ("g_h", set())]),
    ],
)
def test_queries_are_read_right(query: str, names: list[tuple[str, set[str]]]) -> None:
    """Names of metrics are found with the labels that decide about them."""
    assert named(query) == names


def test_a_query_with_a_mistake_is_refused() -> None:
    """What Prometheus would not take is not taken for a query here."""
    with pytest.raises(ValueError, match="expected type matrix"):
        named("rate(batch_requests_total)")
