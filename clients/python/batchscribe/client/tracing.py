"""Lets a trace of the caller's program go on in the server.

OpenTelemetry is not needed: where it is not installed, or records nothing, nothing is sent.
"""

try:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    _PROPAGATOR = None
else:
    _PROPAGATOR = TraceContextTextMapPropagator()


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Return the current span as gRPC metadata; empty if there is none."""
    carrier: dict[str, str] = {}
    if _PROPAGATOR is not None:
        _PROPAGATOR.inject(carrier)
    return tuple(carrier.items())
