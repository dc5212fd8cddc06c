"""Where traces and metrics go: to a collector that OpenTelemetry's own variables name, as OTLP over
HTTP, and to whoever scrapes the address for metrics. If there is neither, nothing is recorded.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from servicekit.serve import CannotListen
from servicekit.telemetry import SILENT, Telemetry

SCOPE = "batchscribe"
# Of traces that begin here: a video that is traced costs a gateway up to two fifths more.
_TRACED_SHARE = 0.02


@contextmanager
def recording(service: str, metrics_listen: str) -> Iterator[Telemetry]:
    """Record while the context is open; at its end what is left is sent, which may take seconds.

    ``metrics_listen`` is host:port to scrape metrics at, port 0 takes any; empty is none. Raises
    CannotListen.
    """
    os.environ.setdefault("OTEL_SERVICE_NAME", service)
    telemetry = SILENT
    with ExitStack() as stack:
        if _is_exported("TRACES"):
            telemetry = replace(telemetry, tracer=_tracer(stack))
        if metrics_listen or _is_exported("METRICS"):
            meter, address = _meter(stack, metrics_listen)
            telemetry = replace(telemetry, meter=meter, metrics_address=address)
        yield telemetry


def _is_exported(signal: str) -> bool:
    is_off = os.environ.get(f"OTEL_{signal}_EXPORTER") == "none"
    names = "OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
    return not is_off and any(os.environ.get(name) for name in names)


# The SDK is imported by those who use it: it takes time and memory.


def _tracer(stack: ExitStack) -> Tracer:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    # Without a word from the operator OpenTelemetry's own default is to record everything.
    is_chosen = os.environ.get("OTEL_TRACES_SAMPLER")
    sampler = None if is_chosen else ParentBasedTraceIdRatio(_TRACED_SHARE)
    provider = TracerProvider(sampler, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    stack.callback(provider.shutdown)
    return provider.get_tracer(SCOPE)


def _meter(stack: ExitStack, listen: str) -> tuple[Meter, str]:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
    from prometheus_client import CollectorRegistry, start_http_server

    readers, address = list[MetricReader](), ""
    if listen:
        registry = CollectorRegistry()
        readers.append(PrometheusMetricReader(scope_info_enabled=False, registry=registry))
        host, _, port = listen.rpartition(":")
        try:
            server, thread = start_http_server(int(port), host.strip("[]"), registry)
        except OSError as error:
            raise CannotListen(listen, str(error.strerror)) from None
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        address = f"{host}:{server.server_port}"
    if _is_exported("METRICS"):
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    provider = MeterProvider(readers, shutdown_on_exit=False)
    stack.callback(provider.shutdown)
    return provider.get_meter(SCOPE), address
