"""Structured logs on standard error: JSON lines, or plain text where a person looks on."""

import logging
import sys

import structlog
from opentelemetry.trace import INVALID_SPAN, get_current_span
from structlog.typing import EventDict, WrappedLogger


def set_up(level: str = "INFO", as_json: bool | None = None) -> None:
    """Configure structlog for the process; by default JSON unless standard error is a terminal."""
    if as_json is None:
        as_json = not sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_trace,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Name the trace and the span that a line was written in."""
    span = get_current_span()
    if span is not INVALID_SPAN:
        context = span.get_span_context()
        event["trace_id"], event["span_id"] = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    return event
