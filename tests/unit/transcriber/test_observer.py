"""Spans of a task's stages."""

from batchscribe.transcriber.v1 import child_pb2
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from servicekit.telemetry import SILENT, Telemetry
from transcriber.observer import Observer


def test_decoding_lies_within_fetching() -> None:
    """The child's decoding is a span below the fetch, as long as the child says that it took."""
    kept, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    telemetry = Telemetry(provider.get_tracer("test"), SILENT.meter)
    observer = Observer(telemetry)
    fetched = child_pb2.Fetched()
    fetched.timings.decode.FromSeconds(2)
    with telemetry.span("call", under="") as call:
        with observer.stage("fetch") as fetch:
            observer.fetched(fetched)
        call.end()  # Its gateway has died; the work goes on.
        with observer.stage("transcribe") as transcribe:
            observer.transcribed(child_pb2.Transcribed(rows=3, fill=0.5), transcribe)
    decode, _, _, transcribed = kept.get_finished_spans()
    assert decode.name == "decode"
    assert decode.parent == fetch.get_span_context()
    assert decode.end_time
    assert decode.start_time
    assert 2e9 <= decode.end_time - decode.start_time < 3e9
    assert transcribed.attributes == {"batchscribe.rows": 3}
