"""Traces, metrics and logs, which hold routing facts only; trace context goes through HTTP, outbox, bus and consumer.

The stock Kafka instrumentation is not used: it writes a second `traceparent` beside ours, makes no span in a poll loop,
and ends a consumer's span before its handler runs.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import IO, Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.common.settings import Settings

log = logging.getLogger("fireweed")
_tracer = trace.get_tracer("fireweed")
_context = TraceContextTextMapPropagator()
MAX_LINKS = 100


def start(settings: Settings, service: str) -> None:
    """Set up logs, and also traces and metrics if the settings name an exporter; call once per process."""
    _start_logging(settings.log_level)
    if settings.telemetry == "none":
        return
    resource = Resource.create({"service.name": f"fireweed-{service}"})
    spans, numbers = _exporters(settings.telemetry)
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=500))
    trace.set_tracer_provider(tracing)
    reader = PeriodicExportingMetricReader(numbers, export_interval_millis=5000)
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))


@contextmanager
def span(name: str, kind: SpanKind, carried: Mapping[str, str] | None = None, **facts: str | int) -> Iterator[Span]:
    """Yield a span that continues the carried trace; it records the class of an exception, never the message."""
    parent = _context.extract(carrier=dict(carried)) if carried else None
    attributes = {key.replace("__", "."): value for key, value in facts.items()}
    with _begun(name, kind, context=parent, attributes=attributes) as current:
        yield current


@contextmanager
def sending(topic: str, carried: Sequence[Mapping[str, str]]) -> Iterator[None]:
    """Put a span around the sending of one batch, linked to the traces in which its events were made."""
    contexts = [trace.get_current_span(_context.extract(carrier=dict(headers))) for headers in carried[:MAX_LINKS]]
    links = [Link(current.get_span_context()) for current in contexts if current.get_span_context().is_valid]
    with _begun(f"send {topic}", SpanKind.PRODUCER, links=links):
        yield


@contextmanager
def _begun(name: str, kind: SpanKind, **more: Any) -> Iterator[Span]:
    with _tracer.start_as_current_span(
        name, kind=kind, record_exception=False, set_status_on_exception=False, **more
    ) as current:
        try:
            yield current
        except Exception as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def outgoing_context() -> dict[str, str]:
    """Return the current trace as headers for an event; empty outside of a trace."""
    carrier: dict[str, str] = {}
    _context.inject(carrier)
    return {name: value for name, value in carrier.items() if name == "traceparent"}


def recording() -> bool:
    """Tell whether spans are exported, so that busy loops can leave them out."""
    return isinstance(trace.get_tracer_provider(), TracerProvider)


def _exporters(target: str) -> tuple[SpanExporter, MetricExporter]:
    if target.startswith("file:"):
        out = Path(target.removeprefix("file:")).open("a", encoding="utf-8")  # noqa: SIM115 - open as long as we live
        return _to_file(out)
    # Imported here, since the exporter is an extra that the embedded hub does not need.
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter(), OTLPMetricExporter()


def _to_file(out: IO[str]) -> tuple[SpanExporter, MetricExporter]:
    def as_row(item: Any) -> str:
        return json.dumps(json.loads(item.to_json())) + "\n"

    return ConsoleSpanExporter(out=out, formatter=as_row), ConsoleMetricExporter(out=out, formatter=as_row)


def _start_logging(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_AsJson())
    handler.setLevel(level.upper())
    # The chosen level is for the hub only. At lower levels than these, libraries print tokens, records, URLs and SQL.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(level.upper())
    # Warnings of these libraries quote parts of request bodies, records, URLs, or the state of a task.
    for name in ("kafka", "httpx2", "httpcore2", "asyncio", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)


class _AsJson(logging.Formatter):
    """Writes one JSON object per record. It keeps class and frames of an exception; its message may be personal."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, object] = {
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0]:
            row["error"] = record.exc_info[0].__name__
            frames = extract_tb(record.exc_info[2])
            row["at"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(row)
