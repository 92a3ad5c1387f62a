"""The route: which records become events, of whom, and what of them leaves."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from services.ingest.aggregates.route.moments import moment
from services.ingest.aggregates.route.step import RouteStep
from shared.core.codec import RecordCodec
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode
from shared.core.ports import Part, Result
from shared.core.privacy import Redactor
from shared.core.records import CONTROL_HEADER, EntityEvent, Headers, Position
from shared.testing.log import MemoryMessage
from tests.support.spec import make_tree

T0 = 1_767_225_600_000
SECRET = b"0123456789abcdef"
COUNT = {"take": "count", "over": "1h"}


def make(**sections: Any) -> PipelineSpec:
    """Parcels kept by depot and by carrier; a carrier may be null, an address absent."""
    tree = make_tree() | sections
    fields = dict(tree["record"]["fields"])
    fields |= {"carrier": {"type": "string", "nullable": True}, "zone": {"type": "string", "required": False}}
    tree["record"] = tree["record"] | {"fields": fields}
    mean = {"take": "mean", "of": "weight", "over": "1h"}
    last = {"take": "last", "of": "stops", "over": "1h"}
    tree["lookups"] = {
        "past": {"key": "depot", "aggregates": {"n": COUNT, "weight": mean, "stops": last}, "max_age": "1d"},
        "flow": {"key": "carrier", "aggregates": {"n": COUNT}, "max_age": "1d"},
        "near": {"key": "zone", "aggregates": {"n": COUNT}, "max_age": "1d"},
    }
    tree["features"] = [{"name": "weight"}]
    return decode(tree, "parcels")


def record(i: int, at: int, **changes: Any) -> dict[str, Any]:
    """A good record; `...` takes a field away."""
    row = {"id": f"r{i}", "depot": f"D{i % 2}", "at": at, "weight": 1.5, "carrier": "A", "phone": "555"} | changes
    return {name: value for name, value in row.items() if value is not ...}


def route(spec: PipelineSpec, *rows: dict[str, Any] | bytes, headers: Sequence[Headers | None] = ()) -> Result:
    """What the step makes of these records."""
    step = RouteStep(spec, RecordCodec(spec), Redactor(spec.privacy, spec.record, SECRET), "entities")
    messages = []
    for i, row in enumerate(rows):
        value = row if isinstance(row, bytes) else json.dumps(row).encode()
        key = None if isinstance(row, bytes) else str(row.get("depot", "D0")).encode()
        messages.append(MemoryMessage(Position("records", 0, i), key, value, time=T0 + 86_400_000))
    return step(Part(messages, list(headers) or [None] * len(messages), 0))


def events(result: Result) -> list[EntityEvent]:
    """The events, checked against their keys."""
    made = [msgspec.json.decode(v or b"", type=EntityEvent) for block in result.blocks for v in block.values]
    keys = [key for block in result.blocks for key in block.keys]
    assert [f"{one.group}:{one.entity}".encode() for one in made] == keys
    return made


def test_what_the_scorer_refuses_is_passed_over_in_silence() -> None:
    """Rubbish, a wrong type, a time far ahead: no event and no letter; the dead letter is the scorer's."""
    far = T0 + 3 * 365 * 86_400_000
    result = route(make(), b"{", record(1, T0, weight="heavy"), record(2, far), record(3, T0, weight=...), b"")
    assert ([], ()) == (events(result), result.rejects)


def test_a_record_under_another_key_is_passed_over() -> None:
    """As at scoring: a Kafka key that differs from the record's own entity."""
    spec = make()
    step = RouteStep(spec, RecordCodec(spec), Redactor(spec.privacy, spec.record, SECRET), "entities")
    message = MemoryMessage(Position("records", 0, 0), b"D7", json.dumps(record(1, T0)).encode())
    assert () == tuple(step(Part([message], [None], 0)).blocks)


def test_barriers_are_no_records() -> None:
    """A control record is passed over, whatever it holds."""
    control: Headers = [(CONTROL_HEADER, b"rollout")]
    result = route(make(), record(1, T0), record(2, T0), headers=[control, None])
    assert {"r2"} == {event.id for event in events(result)}


def test_nobody_to_keep_it_for_is_counted() -> None:
    """A null or an absent key gives no event in that group, and the others theirs."""
    result = route(make(), record(1, T0, carrier=None), record(2, T0, zone="Z", carrier="B"))
    assert [("past", "D1"), ("past", "D0"), ("flow", "B"), ("near", "Z")] == [
        (e.group, e.entity) for e in events(result)
    ]
    assert [("tailrace_aggregate_events_total", 2)] == [(one.metric, one.value) for one in result.counts]


def test_an_event_carries_what_its_group_needs_and_no_more() -> None:
    """Only fields that aggregates are of leave; an absent one is absent; personal ones never stand there."""
    result = route(make(), record(1, T0, stops=3), record(2, T0 + 1))
    values = {(e.group, e.id): e.values for e in events(result)}
    assert {"weight": 1.5, "stops": 3} == values["past", "r1"]
    assert {"weight": 1.5} == values["past", "r2"]
    assert {} == values["flow", "r1"]
    assert b"555" not in b"".join(v or b"" for block in result.blocks for v in block.values)


def test_personal_ids_leave_as_pseudonyms() -> None:
    """A hashed id stays distinct, and cannot be read."""
    spec = make(privacy={"hash": ["id"], "drop": ["phone"]})
    names = {event.id for event in events(route(spec, record(1, T0), record(2, T0)))}
    assert {Redactor(spec.privacy, spec.record, SECRET).pseudonym(name) for name in ("r1", "r2")} == names


def test_a_batch_leaves_in_order_of_event_time() -> None:
    """Of several partitions read together, what happened first is written first."""
    made = events(route(make(), record(1, T0 + 9), record(2, T0 + 5), record(3, T0 + 7)))
    times = [e.time for e in made if e.group == "flow"]
    assert [T0 + 5, T0 + 7, T0 + 9] == times


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"x":[1,{"at":3}],"at":%d}' % T0, T0),
        (b'{"at":"2026-01-01T00:00:00Z"}', T0),
        (b'{"at":"2026-01-01T00:00:00"}', None),
        (b'{"at":"soon"}', None),
        (b'{"at":1.5}', None),
        (b"[" * 100_000, None),
        (b"\xff", None),
        (b"{}", None),
        (None, None),
    ],
)
def test_the_moment_of_a_record_is_known_before_it_is_decoded(value: bytes | None, expected: int | None) -> None:
    """Event time alone, in both forms; none where it cannot be read, and never an error."""
    assert expected == moment(make())(MemoryMessage(Position("records", 0, 0), None, value))
