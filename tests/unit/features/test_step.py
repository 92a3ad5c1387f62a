"""What the feature writer takes, refuses, and does when Redis is away."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from services.ingest.features.step import FeatureWriterStep
from shared.core.errors import Unavailable
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Part
from shared.core.records import FeatureUpdate, Headers
from shared.testing.metrics import RecordingMetrics

T0 = 1_357_000_000_000
SPEC = msgspec.convert(
    {
        "name": "flights",
        "task": "binary",
        "record": {
            "id": "id",
            "key": "origin",
            "event_time": "at",
            "fields": {"id": {"type": "string"}, "origin": {"type": "string"}, "at": {"type": "timestamp"}},
            "max_future": 3_600.0,
        },
        "features": [{"name": "temp", "lookup": "weather"}],
        "labels": {"horizon": 1.0},
        "model": {"estimator": "sklearn.linear_model.LogisticRegression"},
        "lookups": {"weather": {"key": "origin", "fields": {"temp": "number"}, "max_age": 7_200.0}},
    },
    PipelineSpec,
    dec_hook=lambda kind, value: kind(value),
)


@dataclass
class FakeMessage:
    """A message at offset 0, appended at T0."""

    body: bytes | None
    name: bytes | None = b"weather:JFK"

    def partition(self) -> int:
        """Always 0."""
        return 0

    def offset(self) -> int:
        """Always 0."""
        return 0

    def key(self) -> bytes | None:
        """The key."""
        return self.name

    def value(self) -> bytes | None:
        """The value."""
        return self.body

    def headers(self) -> Headers | None:
        """None."""
        return None

    def timestamp(self) -> tuple[int, int]:
        """Log-append time."""
        return 2, T0


class FakeWriter:
    """Remembers what it is given; raises `error` while it is set."""

    def __init__(self) -> None:
        self.written: list[FeatureUpdate] = []
        self.error: Exception | None = None

    def write(self, updates: Sequence[FeatureUpdate]) -> Sequence[str]:
        """Take them, or not."""
        if self.error is not None:
            raise self.error
        self.written += updates
        return ["newer"] * len(updates)


def body(**change: Any) -> bytes:
    """A good update with some fields changed."""
    return msgspec.json.encode({"group": "weather", "entity": "JFK", "time": T0, "values": {"temp": 1.5}} | change)


def run(writer: FakeWriter, *messages: FakeMessage) -> tuple[list[str], RecordingMetrics]:
    """The reasons of the rejects, and the metrics."""
    metrics = RecordingMetrics()
    result = FeatureWriterStep(SPEC, writer, metrics)(Part(messages, [None] * len(messages), 0))
    assert result.blocks == ()
    return [reject.reason for reject in result.rejects], metrics


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (FakeMessage(None), "empty"),
        (FakeMessage(b""), "empty"),
        (FakeMessage(b"{"), "not_json"),
        (FakeMessage(b"\xff\xfe{"), "not_json"),
        (FakeMessage(b"[" * 60_000), "wrong_type"),
        (FakeMessage(body().replace(b"1.5", b"[" * 60_000)), "not_json"),
        (FakeMessage(b'"' + b"x" * 70_000 + b'"'), "too_large"),
        (FakeMessage(b"[]"), "wrong_type"),
        (FakeMessage(body(time=str(T0))), "wrong_type"),
        (FakeMessage(body(time=1.5)), "wrong_type"),
        (FakeMessage(body(extra=1)), "wrong_type"),
        (FakeMessage(body(values={"temp": "1.5"})), "wrong_type"),
        (FakeMessage(body(values={"temp": True})), "wrong_type"),
        (FakeMessage(body(values={"wind": 1.5})), "unknown_field"),
        (FakeMessage(body().replace(b"1.5", b"NaN")), "not_json"),
        (FakeMessage(body().replace(b'"temp":1.5', b'"temp":1.5,"temp":2.5')), "duplicate_key"),
        (FakeMessage(body(group="tides"), b"tides:JFK"), "unknown_group"),
        (FakeMessage(body(entity=""), b"weather:"), "bad_id"),
        (FakeMessage(body(entity="LGA")), "key_mismatch"),
        (FakeMessage(body(), b"\xff"), "key_mismatch"),
        (FakeMessage(body(time=0)), "bad_event_time"),
        (FakeMessage(body(time=T0 // 1_000)), "bad_event_time"),
        (FakeMessage(body(time=T0 * 1_000)), "bad_event_time"),
        (FakeMessage(body(time=T0 + 3_600_001)), "bad_event_time"),
        (FakeMessage(body(v=2)), "unknown_schema"),
    ],
)
def test_refused(message: FakeMessage, reason: str) -> None:
    """B2-B11, B31, B32: what does not fit is one reject with its reason; its neighbours are written."""
    writer = FakeWriter()
    good = FakeMessage(body())
    reasons, metrics = run(writer, good, message, good)
    assert [reason] == reasons
    assert len(writer.written) == 2
    assert metrics.counted("tailrace_feature_updates_total", "invalid") == 1.0
    assert metrics.counted("tailrace_feature_updates_total", "newer") == 2.0


def test_unavailable_passes_through() -> None:
    """F24: while Redis does not take updates nothing is committed: the step raises, says so, and counts nothing."""
    writer, seen, metrics = FakeWriter(), list[tuple[bool, str]](), RecordingMetrics()
    step = FeatureWriterStep(SPEC, writer, metrics, lambda ok, why: seen.append((ok, why)))
    part = Part([FakeMessage(body()), FakeMessage(b"{")], [None, None], 0)
    writer.error = Unavailable("full")
    with pytest.raises(Unavailable):
        step(part)
    assert metrics.counts == {}
    writer.error = None
    assert len(step(part).rejects) == 1
    assert seen == [(False, "full"), (True, "")]


def test_nothing_good_asks_nothing() -> None:
    """A part of rejects alone needs no Redis."""
    writer = FakeWriter()
    writer.error = Unavailable("down")
    assert run(writer, FakeMessage(b"{"))[0] == ["not_json"]


def test_good_updates() -> None:
    """Updates with and without a key, with nulls, and up to the bound ahead of their arrival are written in order."""
    writer = FakeWriter()
    messages = [
        FakeMessage(body()),
        FakeMessage(body(values={"temp": None}), None),
        FakeMessage(body(time=T0 + 3_600_000)),
    ]
    assert run(writer, *messages)[0] == []
    assert [u.time for u in writer.written] == [T0, T0, T0 + 3_600_000]
    assert [u.values["temp"] for u in writer.written] == [1.5, None, 1.5]
