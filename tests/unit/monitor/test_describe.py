"""What observations look like: bins, missing, unseen and unreadable ones; slices and their names."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from services.monitor.observer.describe import Describer
from shared.core.codec import Row
from shared.core.errors import Unavailable
from shared.core.monitor_records import FeatureCounts
from shared.core.pipeline import PipelineSpec
from tests.support.journals import T0, make, observation, profile, rules_of


def record(**changes: Any) -> dict[str, Any]:
    """A parcel, with personal fields dropped."""
    return {"id": "r1", "depot": "D1", "at": 1, "weight": 1.5, "carrier": "A"} | changes


RECORDS = [
    record(weight=1.0), record(weight=1.5, stops=3), record(weight=9, carrier="B"), record(carrier="C"),
    record(carrier="Z"), None, record(weight="heavy"), {"id": "r1"},
]  # fmt: skip
LOOKUPS: list[dict[str, Any]] = [
    {"weather": {"wind": 10.0}},
    {"weather": {"wind": 10.1}},
    {"weather": {}},
    *[{"weather": None}] * 5,
]


def read(spec: PipelineSpec, records: Sequence[Any]) -> Sequence[Row | None]:
    """Records as they come out of observations in the journal."""
    dice = Random(1)
    entries = [observation(spec, f"r{i}", T0, dice) | {"record": one} for i, one in enumerate(records)]
    batch = rules_of(spec).reader([json.dumps(one).encode() for one in entries])
    assert len(records) == len(batch.rows)
    return batch.rows


def test_every_value_is_counted_once() -> None:
    """In its bin, as missing, or as unseen; what cannot be read is missing everywhere."""
    describer = Describer(make(), profile)
    describer.prepare(["v1"])
    rows = read(make(), RECORDS)
    assert [False] * 5 + [True] * 3 == [row is None for row in rows]
    counts = describer.features("v1", rows, LOOKUPS)
    assert {
        "weight": FeatureCounts((1, 3, 0, 1), 3),
        "carrier": FeatureCounts((1, 2, 1), 3, 1),
        "wind": FeatureCounts((1, 1), 6),
    } == counts


def test_a_version_without_a_profile_has_no_counts() -> None:
    """Nor have its scores; and one that cannot be asked for now is said so before anything is counted."""
    describer = Describer(make(), profile)
    describer.prepare(["x"])
    assert ({}, FeatureCounts()) == (describer.features("x", [], []), describer.over_scores("x", [0.5]))

    def down(_: str) -> None:
        raise Unavailable("planted")

    with pytest.raises(Unavailable):
        Describer(make(), down).prepare(["v1"])


def test_scores_are_counted_over_the_references_bins() -> None:
    """An edge belongs to the bin below it."""
    describer = Describer(make(), profile)
    describer.prepare(["v1"])
    assert FeatureCounts((2, 1, 0, 1)) == describer.over_scores("v1", [0.0, 0.25, 0.3, 0.99])


def test_slices_have_names() -> None:
    """Words and all others; intervals, and no value at all."""
    spec = make(slices={"carrier": ["A"], "weight": [1, 2.5], "stops": [3]})
    describer = Describer(spec, profile)
    rows = read(spec, [record(weight=w, **more) for w, more in ((0.5, {}), (1, {"stops": 3}), (2.5, {}))])
    named = [[describer.slice_name(*one) for one in enumerate(describer.slices(row))] for row in [*rows, None]]
    assert [
        ["carrier=A", "weight<1", "stops=?"],
        ["carrier=A", "weight<2.5", "stops>=3"],
        ["carrier=A", "weight>=2.5", "stops=?"],
        ["carrier=*", "weight=?", "stops=?"],
    ] == named
