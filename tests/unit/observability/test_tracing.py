"""Spans that arrive at a collector, contexts that reach the prediction, and collectors that do not answer."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.adapters.tracing import MAX_LINKS, OtlpTracer, make_tracer, traces_url
from shared.core import semconv
from shared.core.errors import UserError
from shared.core.semconv import NullTracer, bound_of, chosen, parse_traceparent
from shared.testing.metrics import RecordingMetrics

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"

MALFORMED = [
    "",
    "00",
    GOOD[:-1],
    GOOD + "0",
    GOOD + "-extra",
    f"ff-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    GOOD.upper(),
    GOOD.replace("-", "_"),
    f" {GOOD}",
    f"{GOOD}\n",
    f"00-{TRACE}-{SPAN}-0\u0661",
    f"01-{TRACE}-{SPAN}-01x",
    "g" * 55,
]


class Collector:
    """An OTLP receiver of our own: keeps every span that is posted to it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep what one request holds."""
        for resource in request.resource_spans:
            self.resources.append({a.key: a.value.string_value for a in resource.resource.attributes})
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def close(self) -> None:
        """Stop and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A running collector that no proxy stands before."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Collector()
    yield running
    running.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def tracer_to(endpoint: str, metrics: RecordingMetrics, rate: float = 1.0) -> OtlpTracer:
    """A tracer that samples everything unless told otherwise."""
    return OtlpTracer(endpoint, service="scorer", instance="w-0", metrics=metrics, rate=rate)


def traceparents(count: int) -> list[str]:
    """Distinct sampled contexts."""
    return [f"00-{number + 1:032x}-{number + 1:016x}-01" for number in range(count)]


@pytest.mark.parametrize("header", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_contexts_are_dropped_and_counted(header: str) -> None:
    """What W3C calls invalid goes nowhere, not to the prediction either."""
    metrics = RecordingMetrics()
    assert parse_traceparent(header) is None
    assert NullTracer(metrics).carry(header) is None
    assert metrics.counted("tailrace_trace_contexts_malformed_total") == 1


def test_a_later_version_is_carried_as_ours() -> None:
    """A version that we do not know, with more fields, is written as the version that we do know."""
    assert str(parse_traceparent(f"01-{TRACE}-{SPAN}-03-more")) == f"00-{TRACE}-{SPAN}-03"


def test_without_an_endpoint_contexts_are_carried() -> None:
    """No exporter, no spans, and the record's context still reaches its prediction unchanged."""
    metrics = RecordingMetrics()
    tracer = make_tracer("", service="scorer", instance="w-0", metrics=metrics)
    assert isinstance(tracer, NullTracer)
    with tracer.batch("process", destination="flights.records", links=[GOOD], attributes={}):
        assert [tracer.carry(GOOD), tracer.carry(None)] == [GOOD, None]
    assert metrics.counts == {}


def test_spans_and_links_arrive(collector: Collector) -> None:
    """A batch is one `process` span with links to its records; a sampled record has a `score` span in its own trace."""
    metrics = RecordingMetrics()
    tracer = tracer_to(collector.endpoint, metrics)
    attributes: dict[str, str | int] = {semconv.GROUP: "flights.scorer", semconv.BATCH_COUNT: 3}
    with tracer.batch(
        "process",
        destination="flights.records",
        links=[GOOD, "rubbish", f"00-{TRACE}-{SPAN}-00"],
        attributes=attributes,
    ):
        carried = tracer.carry(GOOD)
    tracer.close(5.0)
    spans = {span.name: span for span in collector.spans}
    assert set(spans) == {"process flights.records", "score"}
    batch, score = spans["process flights.records"], spans["score"]
    found = {a.key: a.value.string_value or a.value.int_value for a in batch.attributes}
    assert found == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "flights.records",
        "messaging.consumer.group.name": "flights.scorer",
        "messaging.batch.message_count": 3,
    }
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in batch.links] == [(TRACE, SPAN)]
    assert batch.kind == Span.SPAN_KIND_CONSUMER
    assert (score.trace_id.hex(), score.parent_span_id.hex()) == (TRACE, SPAN)
    assert [batch.span_id] == [link.span_id for link in score.links]
    assert carried == f"00-{TRACE}-{score.span_id.hex()}-01"
    assert collector.resources[0]["service.name"] == "scorer"
    assert metrics.counted("tailrace_trace_spans_total", "exported") == 2


def test_unsampled_records_pass_unchanged(collector: Collector) -> None:
    """A record whose trace is not recorded, or not in the sample, gets its own context back and no span."""
    tracer = tracer_to(collector.endpoint, RecordingMetrics(), rate=0.0)
    with tracer.batch("process", destination="t", links=[GOOD], attributes={}):
        assert tracer.carry(GOOD) == GOOD
        assert tracer.carry(GOOD[:-2] + "00") == GOOD[:-2] + "00"
    tracer.close(5.0)
    assert [(span.name, len(span.links)) for span in collector.spans] == [("process t", 0)]


def test_a_large_batch_has_bounded_links_and_spans(collector: Collector) -> None:
    """20,000 sampled records make at most `MAX_LINKS` links and as many `score` spans, each a record's own."""
    tracer = tracer_to(collector.endpoint, RecordingMetrics())
    headers = traceparents(20_000)
    with tracer.batch("process", destination="t", links=headers, attributes={}):
        carried = [tracer.carry(header) for header in headers]
    tracer.close(5.0)
    assert [len(span.links) for span in collector.spans if span.name == "process t"] == [MAX_LINKS]
    assert sum(span.name == "score" for span in collector.spans) == MAX_LINKS
    assert [header[3:35] for header in headers] == [(context or "")[3:35] for context in carried]


def test_a_failed_batch_is_marked_without_its_message(collector: Collector) -> None:
    """The spans of a batch that raises end with an error and its type; the message may quote a record."""
    tracer = tracer_to(collector.endpoint, RecordingMetrics())

    def failing() -> None:
        with tracer.batch("process", destination="t", links=[], attributes={}):
            tracer.carry(GOOD)
            raise ValueError("personal data")

    with pytest.raises(ValueError, match="personal"):
        failing()
    tracer.close(5.0)
    assert [span.status.code for span in collector.spans] == [2, 2]
    assert "personal" not in str(collector.spans)
    assert [[a.value.string_value for a in span.attributes if a.key == "error.type"] for span in collector.spans] == [
        ["ValueError"]
    ] * 2


def loop_for(tracer: OtlpTracer, batches: int) -> float:
    """Seconds that a loop of nothing but tracing takes."""
    started = time.monotonic()
    for _ in range(batches):
        with tracer.batch("process", destination="t", links=[GOOD], attributes={}):
            tracer.carry(GOOD)
    return time.monotonic() - started


def test_a_dead_collector_slows_nothing() -> None:
    """Nobody listens: 5,000 batches pass at full speed, the loss is counted, and closing is bounded."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    metrics = RecordingMetrics()
    tracer = tracer_to(f"http://127.0.0.1:{port}", metrics)
    assert loop_for(tracer, 5_000) < 10.0
    started = time.monotonic()
    tracer.close(1.0)
    assert time.monotonic() - started < 3.0
    wait_for(lambda: metrics.counted("tailrace_trace_spans_total", "failed") > 0)


def test_a_silent_collector_slows_nothing(silent_port: int) -> None:
    """A collector that accepts and never answers holds its own thread only, and not the end of the process."""
    tracer = tracer_to(f"http://127.0.0.1:{silent_port}", RecordingMetrics())
    assert loop_for(tracer, 5_000) < 10.0
    started = time.monotonic()
    tracer.close(0.5)
    assert time.monotonic() - started < 2.0


def wait_for(condition: Callable[[], bool]) -> None:
    """Until the condition holds, for at most 10 s."""
    deadline = time.monotonic() + 10.0
    event = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        event.wait(0.02)


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://h", "http://", "http://h:99999", "http://[", "/v1"])
def test_a_wrong_endpoint_is_named(endpoint: str) -> None:
    """An endpoint that is no address ends with the setting's name, before anything starts."""
    with pytest.raises(UserError, match="TAILRACE_TRACING__OTLP_ENDPOINT"):
        traces_url(endpoint)


@pytest.mark.parametrize("endpoint", ["http://h:4318", "http://h:4318/", "http://h:4318/v1/traces"])
def test_base_and_full_addresses_are_the_same(endpoint: str) -> None:
    """The path is added where it is missing."""
    assert traces_url(endpoint) == "http://h:4318/v1/traces"


def test_a_rate_outside_of_0_to_1_is_refused() -> None:
    """A share above one would be a percentage by mistake."""
    with pytest.raises(UserError, match="from 0 to 1"):
        tracer_to("http://h", RecordingMetrics(), rate=10)


def test_the_sample_is_the_same_everywhere() -> None:
    """The choice depends on the trace id and the rate alone, and hits the rate."""
    ids = [f"{number * 0x9E3779B97F4A7C15 % (1 << 128):032x}" for number in range(1, 10_001)]
    headers = [f"00-{trace_id}-{SPAN}-01" for trace_id in ids]
    share = sum(chosen(header, bound_of(0.1)) for header in headers) / len(headers)
    assert abs(share - 0.1) < 0.02
    assert all(chosen(header, bound_of(1.0)) for header in headers)
    assert not any(chosen(header, bound_of(0.0)) for header in headers)
    assert not any(chosen(header[:-2] + "00", bound_of(1.0)) for header in headers)


@pytest.mark.parametrize("odd", [*(m.encode("utf-8") for m in MALFORMED), None])
def test_one_malformed_context_among_many_is_told(odd: bytes | None) -> None:
    """Asked together, a batch passes only where each of its contexts would pass alone."""
    good = [f"00-{TRACE}-{i:016x}-00".encode() for i in range(1, 50)]
    assert semconv.all_version_00(good)
    assert not any(semconv.all_version_00([*good[:at], odd, *good[at:]]) for at in (0, 7, len(good)))


def test_two_wrong_lengths_do_not_make_up_for_each_other() -> None:
    """One byte too few and the next one too many would line up again, were the lengths not looked at."""
    short, long = GOOD.encode()[:-1], b"1" + GOOD.encode()
    assert len(short + long) == 2 * len(GOOD)
    assert not semconv.all_version_00([short, long])


def test_no_contexts_do_not_pass() -> None:
    """An empty batch has nothing that could be given back as it is."""
    assert not semconv.all_version_00([])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.from_regex(r"[01][0f]-(0{32}|[0-9a-g]{32})-(0{16}|[0-9a-f]{16})-[0-9a-f]{2}", fullmatch=True)))
def test_asked_together_is_asked_one_by_one(contexts: list[str]) -> None:
    """The answer of the columns is that of the expression, whatever nearly well-formed contexts come."""
    given = [context.encode() for context in contexts]
    assert semconv.all_version_00(given) == (bool(given) and all(map(semconv.is_version_00_bytes, given)))
