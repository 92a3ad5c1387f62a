"""From rows to the matrix: each missing-value policy, each flag, and columns by name, never by place."""

import json
from typing import Any

import numpy as np
import pytest

from shared.core import reasons
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder, Matrix, learn_columns
from shared.core.ports import Found
from tests.support.spec import make_spec

FIELDS: dict[str, dict[str, Any]] = {
    "id": {"type": "string"},
    "depot": {"type": "string"},
    "at": {"type": "timestamp"},
    "weight": {"type": "number"},
    "height": {"type": "integer", "minimum": 0, "maximum": 10, "out_of_range": "flag"},
    "stops": {"type": "integer", "required": False, "nullable": True},
    "carrier": {"type": "string", "required": False},
    "fragile": {"type": "boolean", "required": False},
}
FEATURES: list[dict[str, Any]] = [
    {"name": "weight"},
    {"name": "height"},
    {"name": "stops"},
    {"name": "carrier", "kind": "category", "categories": ["UA", "B6"]},
    {"name": "fragile", "kind": "category"},
    {"name": "wind", "lookup": "weather"},
]
COLUMNS = [
    Column("weight", "numeric"),
    Column("height", "numeric"),
    Column("stops", "numeric"),
    Column("carrier", "category", ("UA", "B6")),
    Column("fragile", "category", ("false", "true")),
    Column("wind", "numeric"),
]
RECORD: dict[str, Any] = {"id": "r", "depot": "JFK", "at": 1_357_000_000_000, "weight": 1.5, "height": 3}
NAN = float("nan")


def build(
    *records: dict[str, Any],
    changes: dict[str, dict[str, Any]] | None = None,
    lookup: dict[str, Any] | None = None,
    columns: list[Column] | None = None,
    found: Found | None = None,
) -> Matrix:
    """The matrix of records; `changes` are merged into features by name, `lookup` into the group."""
    features = [f | (changes or {}).get(f["name"], {}) for f in FEATURES]
    group = {"key": "depot", "fields": {"wind": "number"}, "max_age": "12h", "keep": "2d"} | (lookup or {})
    section = {"id": "id", "key": "depot", "event_time": "at", "fields": FIELDS}
    spec = make_spec(record=section, features=features, lookups={"weather": group}, privacy={})
    codec = RecordCodec(spec)
    rows = codec.decode([json.dumps(RECORD | r).encode() for r in records]).rows
    assert len(rows) == len(records)
    default = Found({"weather": [{"wind": 7.0}] * len(rows)}, {}, {"weather": [""] * len(rows)})
    return FeatureBuilder(spec, codec, columns or COLUMNS).matrix(rows, found or default)


def same(matrix: Matrix, *rows: list[float]) -> None:
    """The matrix equals these rows, NaN for NaN."""
    np.testing.assert_array_equal(matrix.values, np.array(rows, dtype=np.float32))


def test_every_kind_of_column_in_its_place() -> None:
    """Numbers, optional numbers, categories, booleans, looked-up values; nothing to be said of them."""
    full = {"stops": 2, "carrier": "B6", "fragile": True}
    matrix = build(full, full | {"carrier": "UA", "fragile": False})
    same(matrix, [1.5, 3, 2, 1, 1, 7], [1.5, 3, 2, 0, 0, 7])
    assert (matrix.flags, matrix.refused) == ({}, {})
    assert matrix.values.dtype == np.float32


def test_columns_are_found_by_name() -> None:
    """B13: another order of columns, and of the record's fields, gives the same numbers under the same names."""
    order = [5, 3, 0, 4, 2, 1]
    full: dict[str, Any] = {"stops": 2, "carrier": "B6", "fragile": True}
    expected = build(full).values[:, order]
    np.testing.assert_array_equal(build(full, columns=[COLUMNS[i] for i in order]).values, expected)
    turned = dict(reversed(list((RECORD | full).items())))
    np.testing.assert_array_equal(build(turned).values[:, order], expected)


def test_missing_is_nan_by_default() -> None:
    """B12: an optional field that is absent or null is NaN, without a flag."""
    matrix = build({}, {"stops": None})
    same(matrix, [1.5, 3, NAN, NAN, NAN, 7], [1.5, 3, NAN, NAN, NAN, 7])
    assert (matrix.flags, matrix.refused) == ({}, {})


def test_missing_takes_its_default() -> None:
    """B12: `missing: default` fills absent and null alike, categories by their code, looked-up values too."""
    changes: dict[str, dict[str, Any]] = {
        "stops": {"missing": "default", "default": 4},
        "carrier": {"missing": "default", "default": "B6"},
        "wind": {"missing": "default", "default": -1},
    }
    found = Found({"weather": [None, {"wind": None}]}, {}, {"weather": ["missing", ""]})
    matrix = build({}, {"stops": None, "carrier": "UA"}, changes=changes, found=found)
    same(matrix, [1.5, 3, 4, 1, NAN, -1], [1.5, 3, 4, 0, NAN, -1])


def test_missing_is_refused_where_declared() -> None:
    """B12: `missing: reject` makes a dead letter of that record, naming the feature; the others stay."""
    matrix = build({"stops": 1}, {}, changes={"stops": {"missing": "reject"}})
    assert matrix.refused == {1: (reasons.MISSING_VALUE, "feature stops has no value")}


def test_unseen_category_is_nan_and_flagged() -> None:
    """B14: a category that the model never met, the empty text included, is NaN and says `unseen`."""
    matrix = build({"carrier": "UA"}, {"carrier": "ZZ"}, {"carrier": ""}, {})
    assert matrix.values[:, 3].tolist()[0] == 0.0
    assert np.isnan(matrix.values[1:, 3]).all()
    assert {name: marks.tolist() for name, marks in matrix.flags.items()} == {"unseen": [False, True, True, False]}


def test_out_of_range_is_flagged_and_scored() -> None:
    """B15: by contract the value is used as it is, and the prediction says so."""
    matrix = build({"height": -1}, {"height": 10}, {"height": 11})
    assert matrix.values[:, 1].tolist() == [-1, 10, 11]
    assert matrix.flags["out_of_range"].tolist() == [True, False, True]


@pytest.mark.parametrize("changes", [{"weight": 1e39}, {"weight": -1e39}], ids=str)
def test_what_overflows_32_bits_is_refused(changes: dict[str, Any]) -> None:
    """B10: no infinity reaches a model; its neighbours are untouched."""
    matrix = build({"stops": 1}, changes, {"stops": 1})
    assert {i: why for i, (why, _) in matrix.refused.items()} == {1: reasons.OUT_OF_RANGE}
    assert np.isfinite(matrix.values[[0, 2], :3]).all()


def test_numbers_beyond_float_precision_are_rounded_once() -> None:
    """B10: 2^53+1, the smallest double and -0.0 become the nearest 32-bit number."""
    values = [2**53 + 1, 5e-324, -0.0, 1e-400]
    expected = np.array(values, dtype=np.float64).astype(np.float32)
    np.testing.assert_array_equal(build(*({"weight": v} for v in values)).values[:, 0], expected)


def test_looked_up_group_that_is_missing_degrades() -> None:
    """Whatever the cause, a group without a version flags `degraded` and its features take their policy."""
    found = Found({"weather": [{"wind": 1}, None, None]}, {}, {"weather": ["", "down", "wrong_entity"]})
    matrix = build({}, {}, {}, found=found)
    assert matrix.flags["degraded"].tolist() == [False, True, True]
    assert (matrix.refused, np.isnan(matrix.values[:, 5]).tolist()) == ({}, [False, True, True])


def test_an_entity_without_earlier_records_is_flagged_and_not_degraded() -> None:
    """Values with the cause `first` are used: nothing was lost, so neither `degraded` nor a dead letter follows."""
    found = Found({"weather": [{"wind": 1}, {"wind": 0}]}, {}, {"weather": ["", "first"]})
    matrix = build({}, {}, lookup={"on_missing": "reject"}, found=found)
    assert {name: marks.tolist() for name, marks in matrix.flags.items()} == {"first": [False, True]}
    assert matrix.refused == {}


def test_looked_up_group_that_is_missing_is_refused_where_declared() -> None:
    """`on_missing: reject` makes a dead letter that names the group and the cause."""
    found = Found({"weather": [{"wind": 1}, None]}, {}, {"weather": ["", "down"]})
    matrix = build({}, {}, lookup={"on_missing": "reject"}, found=found)
    assert matrix.refused == {1: (reasons.MISSING_LOOKUP, "group weather: down")}


def test_stale_version_is_used_and_flagged_or_missing() -> None:
    """A stale version keeps its value and says `stale`; where it counts as missing it is degraded as well."""
    used = Found({"weather": [{"wind": 1}, None]}, {}, {"weather": ["stale", "stale"]})
    matrix = build({}, {}, found=used)
    assert (matrix.flags["stale"].tolist(), matrix.flags["degraded"].tolist()) == ([True, True], [False, True])
    assert matrix.values[0, 5] == 1


def test_versions_are_told_apart_by_identity_and_shared_ones_taken_apart_once() -> None:
    """Equal versions may be one object or two; the column is that of each record's own version."""
    a, b = {"wind": 1.0}, {"wind": 2.0}
    versions = [a, b, a, None, {"wind": 1.0}, {}]
    found = Found({"weather": versions}, {}, {"weather": ["", "", "", "missing", "", ""]})
    column = build(*[{}] * 6, found=found).values[:, 5]
    np.testing.assert_array_equal(column, np.array([1, 2, 1, NAN, 1, NAN], dtype=np.float32))


def test_no_rows_make_an_empty_matrix() -> None:
    """An empty part is no special case."""
    assert build(found=Found()).values.shape == (0, 6)


def test_column_that_is_no_feature_is_an_error() -> None:
    """A bundle of another pipeline is caught when the builder is made."""
    with pytest.raises(KeyError):
        build({}, columns=[Column("color", "numeric")])


def test_learnt_columns_are_features_in_order_with_sorted_categories() -> None:
    """Declared categories stay as they are; others are those met, booleans by their JSON word."""
    section = {"id": "id", "key": "depot", "event_time": "at", "fields": FIELDS}
    undeclared: dict[str, Any] = {"categories": None}
    features = [f | undeclared if f["name"] == "carrier" else f for f in FEATURES]
    spec = make_spec(record=section, features=features, privacy={})
    codec = RecordCodec(spec)
    bodies: list[dict[str, Any]] = [
        {"carrier": "ZZ", "fragile": True},
        {"carrier": "AA"},
        {"fragile": False},
        {"carrier": "ZZ"},
    ]
    rows = codec.decode([json.dumps(RECORD | b).encode() for b in bodies]).rows
    columns = learn_columns(spec, codec, rows, Found({"weather": [None] * 4}, {}, {}))
    assert [(c.name, c.categories) for c in columns] == [
        ("weight", ()), ("height", ()), ("stops", ()), ("carrier", ("AA", "ZZ")), ("fragile", ("false", "true")),
        ("wind", ()),
    ]  # fmt: skip
