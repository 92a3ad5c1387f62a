"""The arithmetic of aggregates, held against a recomputation that knows no windows."""

import math
from fractions import Fraction
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.aggregates import Event, Plan, Window, aged, events, history, plans_of, usable
from shared.core.asof import HistoryLookups, pick
from shared.core.codec import RecordCodec
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode
from shared.core.versions import encode_version
from tests.support.spec import make_tree

T0 = 1_767_225_600_000
AGGREGATES = {
    "n": {"take": "count", "over": "10s"},
    "n_short": {"take": "count", "over": "3s"},
    "weight": {"take": "mean", "of": "weight", "over": "10s"},
    "stops": {"take": "mean", "of": "stops", "over": "3s"},
    "carrier": {"take": "last", "of": "carrier", "over": "10s"},
    "stops_last": {"take": "last", "of": "stops", "over": "5s"},
    "idle": {"take": "time_since", "over": "10s"},
}


def make(every: str = "1ms", aggregates: dict[str, Any] | None = None, **more: Any) -> PipelineSpec:
    """The parcels pipeline with a group that is kept from records."""
    tree = make_tree()
    group = {"key": "depot", "aggregates": aggregates or AGGREGATES, "every": every, "max_age": "1d"}
    tree["lookups"]["past"] = group | more
    return decode(tree, "parcels")


def plan_of(every: str = "1ms") -> Plan:
    """Its plan."""
    return plans_of(make(every))[0]


Record = tuple[int, str, float | None, int | None, str | None]


def window(plan: Plan, records: list[Record]) -> Window:
    """A window with these records in this order."""
    made = Window(plan)
    for time, name, weight, stops, carrier in records:
        made.add(time, name, (weight, stops, carrier))
    return made


def expected(records: list[Record], stamp: int) -> dict[str, Any]:
    """The values by their definition, from the set of records."""

    def over(seconds: int) -> list[Record]:
        return sorted(r for r in set(records) if stamp - seconds * 1_000 <= r[0] < stamp)

    def mean(values: list[Any]) -> float | None:
        there = [Fraction(v) for v in values if v is not None]
        return float(sum(there) / len(there)) if there else None

    def last(values: list[Any]) -> Any:
        return next((v for v in reversed(values) if v is not None), None)

    ten, five, three = over(10), over(5), over(3)
    return {
        "n": len(ten),
        "n_short": len(three),
        "weight": mean([r[2] for r in ten]),
        "stops": mean([r[3] for r in three]),
        "carrier": last([r[4] for r in ten]),
        "stops_last": last([r[3] for r in five]),
        "idle": (stamp - ten[-1][0]) / 1_000 if ten else None,
    }


numbers = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=64))
records = st.lists(
    st.tuples(
        st.integers(T0, T0 + 20_000),
        st.sampled_from([f"r{i}" for i in range(30)]),
        numbers,
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.sampled_from("ABC")),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda r: (r[0], r[1]),
)


@settings(max_examples=150, deadline=None)
@given(records=records, seed=st.integers(0, 2**32), every=st.sampled_from(["1ms", "1s", "2500ms", "3s"]))
def test_any_order_with_repeats_gives_the_definition(records: list[Record], seed: int, every: str) -> None:
    """Whatever the order, with records coming again, each version equals a recomputation from the set."""
    plan = plan_of(every)
    arrived = records + Random(seed).choices(records, k=len(records) // 2)
    Random(seed).shuffle(arrived)
    folded = window(plan, arrived)
    for stamp in {plan.stamp(r[0]) for r in records}:
        assert expected(records, stamp) == folded.values(stamp)


@settings(max_examples=150, deadline=None)
@given(records=records, every=st.sampled_from(["1ms", "1s", "3s"]))
def test_the_versions_sent_again_are_all_that_changed(records: list[Record], every: str) -> None:
    """Keeping each version as it was last sent, record by record, ends with the definition for every stamp."""
    plan = plan_of(every)
    sent: dict[int, dict[str, Any]] = {}
    folded = Window(plan)
    for time, name, weight, stops, carrier in records:
        if folded.add(time, name, (weight, stops, carrier)):
            told = folded.stamps([time])
            assert told[-1] == plan.stamp(folded.keys[-1][0]), "the newest version is the last that is sent"
            sent |= {stamp: folded.values(stamp) for stamp in told}
    assert {plan.stamp(r[0]): expected(records, plan.stamp(r[0])) for r in records} == sent


@settings(max_examples=80, deadline=None)
@given(records=records, at=st.integers(T0, T0 + 20_000))
def test_trimming_changes_no_version_that_may_be_asked_for(records: list[Record], at: int) -> None:
    """What is older than the longest span before a moment is not missed by the versions after it."""
    plan = plan_of()
    folded = window(plan, records)
    folded.values(T0)
    folded.trim(at - plan.over)
    for stamp in {plan.stamp(r[0]) for r in records if r[0] >= at}:
        assert expected(records, stamp) == folded.values(stamp)


@settings(max_examples=80, deadline=None)
@given(records=records, every=st.sampled_from(["1ms", "1s"]))
def test_training_gives_the_same_versions(records: list[Record], every: str) -> None:
    """The versions of a whole history are the definition's, entity by entity."""
    plan = plan_of(every)
    known = [Event("D1" if i % 3 else "D2", r[0], r[1], r[2:]) for i, r in enumerate(records)]
    parts = {name: [r for r, e in zip(records, known, strict=True) if e.entity == name] for name in ("D1", "D2")}
    wanted = {(e, plan.stamp(r[0])): expected(part, plan.stamp(r[0])) for e, part in parts.items() for r in part}
    assert wanted == {(u.entity, u.time): u.values for u in history(plan, known)}


def test_a_mean_is_the_same_to_the_bit_in_every_order() -> None:
    """Numbers that cancel out, or whose sum is no float, have one mean: that of the exact sum."""
    values = [1e308, 1e308, -1e308, 1.0, 1e-320, 0.1]
    means = set()
    for order in permutations(range(len(values))):
        made = Window(plan_of())
        for i in order:
            made.add(T0 + i, f"r{i}", (values[i], None, None))
        means.add(made.values(T0 + 9_000)["weight"])
    assert {float(sum(map(Fraction, values)) / 6)} == means
    assert all(map(math.isfinite, means))


def test_one_id_at_one_time_with_two_contents_has_one_outcome() -> None:
    """A record that is sent again with other values counts once, the same one whichever came first."""
    one, other = (T0, "r1", 1.0, 1, "A"), (T0, "r1", 2.0, 1, "A")
    first, second = window(plan_of(), [one, other, one]), window(plan_of(), [other, one])
    assert first.values(T0 + 1) == second.values(T0 + 1)
    assert (1, 2.0) == (first.values(T0 + 1)["n"], first.values(T0 + 1)["weight"])


def test_booleans_have_a_mean() -> None:
    """The mean of a boolean is the share that is true."""
    plan = Plan(
        "g", "k", 1, 0, 1_000, ("b",), ("boolean",), plans_of(make(aggregates={"b": AGGREGATES["weight"]}))[0].terms
    )
    made = Window(plan)
    for i, value in enumerate((True, False, True, True)):
        made.add(T0 + i, f"r{i}", (value,))
    assert 0.75 == made.values(T0 + 10)["b"]


def test_a_record_sees_what_was_before_it_and_never_itself() -> None:
    """As of a record's time its own version is not there yet; the seconds since the last one are exact."""
    spec = make()
    plan = plans_of(spec)[0]
    times = [T0, T0 + 1, T0 + 400, T0 + 123_456]
    known = [Event("D1", time, f"r{i}", (float(i), None, None)) for i, time in enumerate(times)]
    found = HistoryLookups(history(plan, known), spec.lookups).get_many({"past": ["D1"] * 4}, times)
    seen = [value and (value["n"], value["weight"], value["idle"]) for value in found.values["past"]]
    assert [(0, None, None), (1, 0.0, 0.001), (2, 0.5, 0.399), (3, 1.0, 123.056)] == seen
    assert ("first", "", "", "") == found.causes["past"]


def test_before_its_first_record_an_entity_has_counts_of_nothing_unless_the_cache_forgot() -> None:
    """No version, or none so early: a count is 0; earlier than what a cache keeps, nothing is claimed."""
    spec = make()
    lookup, plan = spec.lookups["past"], plans_of(spec)[0]
    updates = list(history(plan, [Event("D1", T0, "r", (1.0, None, None))]))
    value = b"".join(encode_version(update, lookup.schema_version) for update in updates)
    keep = int(lookup.keep * 1_000)
    ask: dict[str, Any] = {"group": "past", "entity": "D1", "spec": lookup}
    assert [0, None] == [(pick(None, at_ms=T0, **ask).values or {}).get(name) for name in ("n", "idle")]
    seen = [pick(value, at_ms=at, **ask) for at in (T0, updates[0].time - keep, updates[0].time - keep - 1)]
    assert ["first", "first", "missing"] == [one.cause for one in seen]
    assert [0, 0, None] == [one.values and one.values["n"] for one in seen]


def test_time_since_grows_in_versions_that_are_kept_open() -> None:
    """One stored version answers for many moments: each sees its own seconds, and the others' values stay."""
    values = {"n": 3, "idle": 0.001, "none": None}
    assert {"n": 3, "idle": 2.5, "none": None} == aged(values, ("idle", "none"), 2_499)
    assert 0.001 == values["idle"]


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ({"depot": None}, None),
        ({"depot": ""}, None),
        ({"stops": None}, (1.5, None, "A")),
        ({"stops": 2**64}, (1.5, None, "A")),
        ({}, (1.5, 3, "A")),
    ],
)
def test_what_a_record_lacks_is_no_value(change: dict[str, Any], row: tuple[Any, ...] | None) -> None:
    """Without an entity there is no event; a null, absent or unwritable value is none."""
    record = {"depot": "D1", "weight": 1.5, "stops": 3, "carrier": "A"} | change
    event = events(plan_of(), lambda name: lambda row: row[name])(record, "r1", T0)
    assert (None if row is None else Event("D1", T0, "r1", row)) == event


def test_absent_fields_of_a_decoded_record_are_no_values() -> None:
    """What the codec leaves unset never becomes a value."""
    spec = make()
    codec = RecordCodec(spec)
    row = codec.decode_one(b'{"id":"r1","depot":"D1","at":%d,"weight":1.5,"carrier":"A"}' % T0)
    assert Event("D1", T0, "r1", (1.5, None, "A")) == events(plans_of(spec)[0], codec.getter)(row, "r1", T0)
    assert usable(0) == 0
