"""What a process records with, and how a trace goes on in the next process.

It does so as a W3C traceparent, in a call's metadata or stored beside the work.
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.trace import (
    INVALID_SPAN,
    NoOpTracer,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
# The semantic conventions', and longer ones: a call may wait for a video, or follow a batch.
CALL_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    *(30, 60, 300, 900, 3600),
)

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
# What a server has to answer for; any other status is the caller's or as it should be.
_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
_PROPAGATOR = TraceContextTextMapPropagator()


@dataclass(frozen=True)
class Telemetry:
    """What a process records with, and where its metrics are scraped."""

    tracer: Tracer
    meter: Meter
    metrics_address: str = ""

    def span(
        self,
        name: str,
        attributes: Mapping[str, str | int] | None = None,
        *,
        under: str | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> AbstractContextManager[Span]:
        """Open a span below the current one, or below the traceparent ``under``; empty, it begins
        a trace. What is below nothing that is recorded is not recorded and costs next to nothing.
        """
        is_off = isinstance(self.tracer, NoOpTracer)
        if is_off or (under is None and not is_traced()):
            return nullcontext(INVALID_SPAN)
        parent = None if under is None else _PROPAGATOR.extract({TRACEPARENT: under})
        # Texts of exceptions stay here: they may name what is nobody's business.
        return self.tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False
        )

    def interceptors(
        self, services: str, *, begins_traces: bool
    ) -> list[grpc.aio.ServerInterceptor]:
        """Return what records the calls of methods that begin with ``services``."""
        return [] if self is SILENT else [_RecordCalls(self, services, begins_traces)]


# Records nothing.
SILENT = Telemetry(NoOpTracer(), NoOpMeter("batchscribe"))


def is_traced() -> bool:
    """Tell whether what is done now belongs to a trace that is recorded."""
    # A span may have ended while its work goes on, as when a gateway dies.
    return get_current_span().get_span_context().trace_flags.sampled


def traceparent() -> str:
    """Return the current span, for those who go on with its trace; empty if none is recorded."""
    if not is_traced():
        return ""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(TRACEPARENT, "")


def metadata() -> tuple[tuple[str, str], ...]:
    """Return what a call carries so that its server goes on with the trace."""
    current = traceparent()
    return ((TRACEPARENT, current),) if current else ()


class _RecordCalls(grpc.aio.ServerInterceptor):
    """The duration of every call, and a span for each that is not a stream."""

    def __init__(self, telemetry: Telemetry, services: str, begins_traces: bool) -> None:
        self._span = telemetry.span
        self._services = services
        self._orphan = "" if begins_traces else None
        self._duration = telemetry.meter.create_histogram(
            "rpc.server.call.duration",
            "s",
            "Duration of calls to this server.",
            explicit_bucket_boundaries_advisory=CALL_SECONDS,
        )

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler, method = await continuation(handler_call_details), handler_call_details.method
        if handler is None or not method.startswith(self._services):
            return handler
        name, codecs = method[1:], (handler.request_deserializer, handler.response_serializer)
        sent = dict(handler_call_details.invocation_metadata)
        parent = sent.get(TRACEPARENT, self._orphan)

        async def call(request: Any, context: Any) -> Any:
            with (
                self._span(name, under=parent, kind=SpanKind.SERVER),
                self._recorded(name, context),
            ):
                return await handler.unary_unary(request, context)

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            with self._recorded(name, context):
                async for response in handler.unary_stream(request, context):
                    yield response

        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, *codecs)
        return grpc.unary_unary_rpc_method_handler(call, *codecs)

    @contextmanager
    def _recorded(self, method: str, context: Any) -> Iterator[None]:
        begun, code = time.perf_counter(), "CANCELLED"
        try:
            yield
            code = "OK"
        except Exception:
            code = _CODES.get(context.code(), "UNKNOWN")
            raise
        finally:
            attributes = {
                "rpc.system.name": "grpc",
                "rpc.method": method,
                "rpc.response.status_code": code,
            }
            self._duration.record(time.perf_counter() - begun, attributes)
            get_current_span().set_attributes(attributes)
            if code in _FAULTS:
                get_current_span().set_status(StatusCode.ERROR)
