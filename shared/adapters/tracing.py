"""Spans by OpenTelemetry, exported by OTLP over HTTP.

One `process` span a batch, with links to a sample of the records' own traces; and in the trace of each
sampled record a `score` span, so that whoever sent the record sees where and when it was scored. A record
that is not sampled costs one parse of its header: its context goes to the prediction unchanged.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from shared.core import semconv
from shared.core.errors import UserError
from shared.core.metrics import Metrics
from shared.core.semconv import NullTracer, TraceContext

MAX_LINKS: Final = 32
"""Links of one batch span, and `score` spans of one batch."""
_CANDIDATES: Final = 256  # headers looked at for links: a batch of 20,000 must not parse them all twice
_EXPORT_TIMEOUT: Final = 2.0
_QUEUE: Final = 2_048
_EVERY_MS: Final = 1_000


class OtlpTracer:
    """`Tracer` whose spans leave by a background thread; a full queue or a dead endpoint loses spans, never time.

    Belongs to one thread, that of the loop.

    Args:
        endpoint: base address (`http://host:4318`) or the full one with `/v1/traces`.
        service: `service.name` of the spans.
        instance: `service.instance.id`, the worker's name.
        metrics: counts spans exported and failed, and malformed contexts.
        rate: share (0 to 1) of the sampled records that get links and `score` spans.

    Raises:
        UserError: the endpoint is not an http(s) address, or the rate is not from 0 to 1.
    """

    def __init__(self, endpoint: str, *, service: str, instance: str, metrics: Metrics, rate: float = 0.01) -> None:
        if not 0.0 <= rate <= 1.0:
            raise UserError(f"tracing rate {rate} is not a share", remedy="give a number from 0 to 1")
        self._metrics = metrics
        self._bound = semconv.bound_of(rate)
        self._batch: Span | None = None
        self._scores: list[Span] = []
        resource = Resource.create({semconv.SERVICE: service, semconv.SERVICE_INSTANCE: instance})
        # Our own provider, not the global one: no library of ours or theirs can add spans to it by accident.
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        exporter = _Counted(OTLPSpanExporter(traces_url(endpoint), timeout=_EXPORT_TIMEOUT), metrics)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=_EVERY_MS)
        )
        self._tracer = self._provider.get_tracer("tailrace")

    @contextmanager
    def batch(
        self, name: str, *, destination: str, links: Sequence[str], attributes: Mapping[str, str | int]
    ) -> Iterator[None]:
        """A span `<name> <destination>` around a batch; ends, and marks the error's type, if the batch raises.

        Args:
            name: the operation, `process`.
            destination: the topic.
            links: the `traceparent` headers of the batch's records, malformed ones included.
            attributes: more attributes; names from `shared.core.semconv`.
        """
        span = self._tracer.start_span(
            f"{name} {destination}",
            kind=SpanKind.CONSUMER,
            links=[Link(_remote(context)) for context in self._sample(links)],
            attributes={
                semconv.SYSTEM: "kafka",
                semconv.OPERATION_NAME: name,
                semconv.OPERATION_TYPE: "process",
                semconv.DESTINATION: destination,
                **attributes,
            },
        )
        self._batch = span
        try:
            yield
        except BaseException as error:
            # The type only: a message may quote the record.
            for open_span in (*self._scores, span):
                open_span.set_status(StatusCode.ERROR)
                open_span.set_attribute(semconv.ERROR_TYPE, type(error).__name__)
            raise
        finally:
            for open_span in (*self._scores, span):
                open_span.end()
            self._batch = None
            self._scores = []

    def passes(self, traceparent: bytes) -> bool:
        """Well formed, and none of the sample that gets a `score` span."""
        if not semconv.is_version_00_bytes(traceparent):
            return False
        return self._batch is None or not semconv.chosen(traceparent.decode("ascii"), self._bound)

    def pass_all(self, traceparents: Sequence[bytes | None]) -> bool:
        """Whether all pass; while a batch is open some are likely of the sample, so they are asked one by one."""
        return self._batch is None and semconv.all_version_00(traceparents)

    def carry(self, traceparent: str | None) -> str | None:
        """The context for the prediction: the record's own trace, and its `score` span where it has one."""
        header = semconv.carried(traceparent, self._metrics)
        if header is None or self._batch is None or not semconv.chosen(header, self._bound):
            return header
        context = semconv.parse_traceparent(header)
        if context is None or len(self._scores) >= MAX_LINKS:
            return header
        span = self._tracer.start_span(
            "score",
            context=set_span_in_context(NonRecordingSpan(_remote(context))),
            links=[Link(self._batch.get_span_context())],
        )
        self._scores.append(span)
        return str(context._replace(span_id=f"{span.get_span_context().span_id:016x}"))

    def close(self, timeout: float = 2.0) -> None:
        """Send what is queued, for at most `timeout` seconds; what is left then is lost."""
        # The library waits 30 s by itself and offers no way to say less.
        thread = threading.Thread(target=self._provider.shutdown, name="tracing-shutdown", daemon=True)
        thread.start()
        thread.join(timeout)

    def _sample(self, headers: Sequence[str]) -> list[TraceContext]:
        found: list[TraceContext] = []
        for header in headers[:: -(-len(headers) // _CANDIDATES) or 1]:
            context = semconv.parse_traceparent(header)  # `carry` counts the malformed ones
            if context is not None and semconv.chosen(str(context), self._bound):
                found.append(context)
                if len(found) == MAX_LINKS:
                    break
        return found


class _Counted(SpanExporter):
    def __init__(self, inner: SpanExporter, metrics: Metrics) -> None:
        self._inner = inner
        self._metrics = metrics

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        outcome = "exported" if result is SpanExportResult.SUCCESS else "failed"
        self._metrics.count("tailrace_trace_spans_total", len(spans), result=outcome)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def make_tracer(
    endpoint: str, *, service: str, instance: str, metrics: Metrics, rate: float = 0.01
) -> OtlpTracer | NullTracer:
    """An `OtlpTracer` where an endpoint is set, else a `NullTracer` (which still carries contexts)."""
    if not endpoint:
        return NullTracer(metrics)
    return OtlpTracer(endpoint, service=service, instance=instance, metrics=metrics, rate=rate)


def traces_url(endpoint: str) -> str:
    """The full address of the traces endpoint.

    Raises:
        UserError: not an http(s) address with a host.
    """
    remedy = "set TAILRACE_TRACING__OTLP_ENDPOINT to an address like http://host:4318"
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UserError("the OTLP endpoint is not an http or https address", remedy=remedy)
    return endpoint if parts.path.endswith("/v1/traces") else f"{endpoint.rstrip('/')}/v1/traces"


def _remote(context: TraceContext) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote=True, trace_flags=TraceFlags(context.flags)
    )
