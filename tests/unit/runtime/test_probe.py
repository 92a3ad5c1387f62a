"""What a loop says of dead letters in its log."""

import json

import pytest

from shared.core.metrics import NullMetrics
from shared.core.ports import Reject
from shared.core.records import Headers, Position
from shared.core.rollout import Split
from shared.core.semconv import NullTracer
from shared.runtime.health import Health
from shared.runtime.logs import configure
from shared.runtime.probe import Probe
from shared.testing.clock import ManualClock
from shared.testing.log import MemoryMessage

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_dead_letters_are_told_once_a_second_with_their_place_and_trace(capfd: pytest.CaptureFixture[str]) -> None:
    """A flood of bad records is one line a second, with the first one's place; the record itself is never quoted."""
    configure("test", "info", "json")
    clock = ManualClock()
    metrics = NullMetrics()
    health = Health(clock, max_turn_age=60, checks=("assignment",))
    probe = Probe(
        pipeline="p", topic="p.records", metrics=metrics, health=health, tracer=NullTracer(metrics), clock=clock
    )
    trace: Headers = [("traceparent", TRACE.encode())]
    bad = [
        Reject(MemoryMessage(Position("p.records", 2, offset), b"k", b"secret", trace), "not_json")
        for offset in range(7, 10)
    ]
    for _ in range(3):
        probe.committed([r.message for r in bad], {0: bad[-1].message}, Split(), bad, 0.001, 0.001)
    clock.advance(1.5)
    probe.committed([r.message for r in bad], {0: bad[-1].message}, Split(), bad, 0.001, 0.001)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "dead letters" in line]
    assert [line["since_last_line"] for line in lines] == [3, 9]
    assert {(line["reason"], line["partition"], line["offset"]) for line in lines} == {("not_json", 2, 7)}
    assert {line["trace_id"] for line in lines} == {TRACE[3:35]}
    assert all("secret" not in json.dumps(line) for line in lines)
