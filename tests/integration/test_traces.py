"""Traces of real gateways, sent to a real collector, and logs that name them."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import grpc
import httpx2
import pytest
import structlog
from batchscribe.client import Client
from batchscribe.v1.batch_pb2 import BatchOptions, VideoSpec
from batchscribe.v1.batch_service_pb2 import CreateBatchRequest
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench import processes
from servicekit import logs
from servicekit.recording import recording
from servicekit.telemetry import Telemetry, metadata
from tests.collector import Collector, collecting
from tests.running_gateway import KEY, METADATA, RunningGateway, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running, waiting
from tests.support import wait_until
from tests.webhook_receiver import receiving

TRACE, CLIENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = (*METADATA, ("traceparent", f"00-{TRACE}-{CLIENT}-01"))


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def telemetry(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """What the processes inside the test's own record with."""
    for name, value in collector.environment.items():
        monkeypatch.setenv(name, value)
    with recording("test", "") as telemetry:
        yield telemetry


@asynccontextmanager
async def gateway_process(
    redis_url: str, transcriber: ScriptedTranscriber, collector: Collector
) -> AsyncIterator[tuple[processes.Service, RunningGateway]]:
    """Run a gateway that can be killed."""
    async with (
        processes.gateway(
            redis_url, [transcriber.address], KEY, **collector.environment
        ) as service,
        grpc.aio.insecure_channel(service.said["listening"]) as channel,
    ):
        yield service, RunningGateway(BatchServiceStub(channel), service.said["listening"], "")


async def create(gateway: RunningGateway, webhook: str = "") -> str:
    """Make a batch of one video as part of the trace TRACE; return its id."""
    request = CreateBatchRequest(
        videos=[VideoSpec(url="http://x/1")], options=BatchOptions(notify_webhook=webhook)
    )
    return (await gateway.stub.CreateBatch(request, metadata=TRACED)).batch.batch_id


def ended_well(calls: list[Span]) -> list[Span]:
    """Return the calls that a server has answered."""
    return [
        call
        for call in calls
        if call.kind == Span.SPAN_KIND_SERVER
        and any(value.value.string_value == "OK" for value in call.attributes)
    ]


def is_child(span: Span, parent: Span) -> bool:
    return span.parent_span_id == parent.span_id and span.trace_id == parent.trace_id


async def test_a_trace_goes_on_when_a_gateway_dies(
    redis_url: str, collector: Collector, telemetry: Telemetry
) -> None:
    """One trace leads from the client over two gateways, the first of them killed, to the end."""
    gate = asyncio.Event()
    async with (
        running(ScriptedTranscriber(waiting(gate)), telemetry=telemetry) as transcriber,
        gateway_process(redis_url, transcriber, collector) as (service, first),
    ):
        batch_id = await create(first)
        await wait_until(lambda: transcriber.tasks and collector.spans("/CreateBatch"))
        async with gateway_process(redis_url, transcriber, collector) as (_, second):
            os.kill(service.pid, signal.SIGKILL)
            await wait_until(lambda: transcriber.seen["http://x/1"] == 2, 30)
            gate.set()
            await second.ended(batch_id)
            (settled,) = await wait_until(lambda: collector.spans("settle"))
            (served,) = await wait_until(lambda: ended_well(collector.spans("/Transcribe")))
    (created,) = collector.spans("/CreateBatch")
    (attempt,) = collector.spans("attempt")
    (call,) = (
        span for span in collector.spans("/Transcribe") if span.kind == Span.SPAN_KIND_CLIENT
    )
    assert created.parent_span_id.hex() == CLIENT
    assert is_child(attempt, created)
    assert is_child(call, attempt)
    assert is_child(served, call)
    assert is_child(settled, attempt)
    assert {span.trace_id.hex() for span in collector.spans("/Transcribe")} == {TRACE}


async def test_a_webhook_belongs_to_the_trace(
    redis_url: str, collector: Collector, telemetry: Telemetry
) -> None:
    """Telling a receiver is the last span of the batch's trace; the receiver is told no trace."""
    async with (
        receiving() as receiver,
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(
            redis_url, [transcriber.address], telemetry, webhook_allow_http=True
        ) as gateway,
    ):
        await create(gateway, receiver.url)
        (webhook,) = await wait_until(lambda: collector.spans("webhook"))
    assert is_child(webhook, collector.spans("/CreateBatch")[0])
    assert "traceparent" not in receiver.received[0].headers


async def test_a_callers_span_is_the_root(
    redis_url: str, collector: Collector, telemetry: Telemetry
) -> None:
    """The SDK and the REST edge pass the trace on in which they were called."""
    async with (
        running_gateway(redis_url, [], telemetry, http_listen="127.0.0.1:0") as gateway,
        Client(gateway.address, KEY) as client,
        httpx2.AsyncClient() as http,
    ):
        with telemetry.span("from the SDK", under=""):
            await client.create_batch(["http://x/1"])
        with telemetry.span("over REST", under=""):
            answer = await http.post(
                f"http://{gateway.http}/api/v1/transcribe/batch",
                json={"videos": [{"youtube_url": "http://x/1"}]},
                headers=dict(metadata()) | dict(METADATA),
            )
        assert answer.status_code == 202
        await wait_until(
            lambda: len(collector.spans("/CreateBatch")) == 2 and collector.spans("over REST")
        )
    roots = collector.spans("from the SDK") + collector.spans("over REST")
    for root, created in zip(roots, collector.spans("/CreateBatch"), strict=True):
        assert is_child(created, root)


async def test_what_is_not_sampled_is_nobodys_trace(
    redis_url: str, collector: Collector, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch that its gateway does not record, a transcriber that records all has no span."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    with recording("gateway", "") as unsampled:
        async with (
            running(ScriptedTranscriber(), telemetry=telemetry) as transcriber,
            running_gateway(redis_url, [transcriber.address], unsampled) as gateway,
        ):
            await gateway.ended((await gateway.create("http://x/1")).batch_id)
            await gateway.ended(await create(gateway))
            await wait_until(lambda: collector.spans("settle") and collector.spans("/Transcribe"))
    assert {span.trace_id.hex() for span in collector.received} == {TRACE}


async def test_by_default_a_few_traces_are_recorded(
    collector: Collector, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of traces that begin here some are recorded, of those that a caller records every one."""
    monkeypatch.delenv("OTEL_TRACES_SAMPLER")
    with recording("test", "") as by_default:
        for _ in range(1000):
            for name, under in (("new", ""), ("known", f"00-{TRACE}-{CLIENT}-01")):
                with by_default.span(name, under=under):
                    pass
    assert len(collector.spans("known")) == 1000
    assert 0 < len(collector.spans("new")) < 60


async def test_a_log_line_names_its_span(
    telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is logged within a span carries its ids and those of its trace; else there are none."""
    logs.set_up(as_json=True)
    try:
        with telemetry.span("work", under="") as span:
            structlog.get_logger().warning("inside")
        structlog.get_logger().warning("outside")
    finally:
        structlog.reset_defaults()
    inside, outside = map(json.loads, capsys.readouterr().err.splitlines())
    assert int(inside["trace_id"], 16) == span.get_span_context().trace_id
    assert int(inside["span_id"], 16) == span.get_span_context().span_id
    assert "trace_id" not in outside


async def test_nothing_is_recorded_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a collector and an address for metrics no call is wrapped."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with recording("test", "") as telemetry:
        assert telemetry.interceptors("/", begins_traces=True) == []
