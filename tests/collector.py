"""A collector of traces: takes OTLP over HTTP, as any other does, and keeps the spans."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it was sent, whatever process sent them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.received: list[Span] = []

    @property
    def environment(self) -> dict[str, str]:
        """What makes a service send all its traces here, soon after they were recorded."""
        return {
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{self.server_port}/v1/traces",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def spans(self, name: str) -> list[Span]:
        """Return the spans whose name ends so, in the order of their beginning."""
        named = [span for span in tuple(self.received) if span.name.endswith(name)]
        return sorted(named, key=lambda span: span.start_time_unix_nano)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector while the context is open."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, args=[0.01])
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


class _Requests(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.headers["content-encoding"] is None
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.server.received.extend(scope.spans)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
