"""Training data that teaches nothing (B45) is refused before anything is fitted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from services.retrainer.dataset import Dataset, load_dataset
from services.retrainer.gate import DataRefused, check_data, check_matrix
from services.retrainer.learn import split
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.errors import UserError
from shared.core.ports import Found
from tests.support.bundles import HOUR, START, write_history
from tests.support.spec import make_spec


@dataclass(frozen=True, slots=True)
class Counts:
    """What was left out."""

    refused: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0


def data(y: list[float], counts: Counts = Counts()) -> Dataset:
    """Records an hour apart with these targets."""
    times = START + HOUR * np.arange(len(y), dtype=np.int64)
    rows: list[object] = [None] * len(y)
    return Dataset(rows, Found(), np.array(y), times, times, counts.refused, 0, 0, counts.duplicates)


MIXED = [0.0, 1.0] * 100


@pytest.mark.parametrize(
    ("task", "bad", "words"),
    [
        ("binary", data(MIXED[:40]), "40 labelled records, at least 50"),
        ("binary", data([0.0] * 100), "class late has 0 records"),
        ("multiclass", data(MIXED), "class late has 0 records"),
        ("regression", data([3.0] * 100), "every label is 3"),
        ("regression", data([*MIXED, float("nan")]), "not a finite number"),
        ("log1p", data([*MIXED, float("inf")]), "not a finite number"),
        ("log1p", data([*MIXED, -1.0]), "a label is -1, and log1p needs more than -1"),
        ("binary", data(MIXED, Counts(duplicates=30)), "30 records repeat an id"),
        ("binary", data(MIXED, Counts(refused={"not_json": 50})), r"50 records are refused \(not_json 50\)"),
    ],
)
def test_b45_broken_data(task: str, bad: Dataset, words: str) -> None:
    """B45: one class, a constant, ten rows, duplicates: refused in words that name it."""
    logged = {"estimator": "sklearn.linear_model.Ridge", "target": "log1p"}
    spec = make_spec("regression", model=logged) if task == "log1p" else make_spec(task)
    with pytest.raises(DataRefused, match=words):
        check_data(spec, bad)


def test_b45_columns() -> None:
    """B45: a category without a value and columns that never vary are refused; what is only odd is a warning."""
    columns = (Column("a", "numeric"), Column("b", "numeric"), Column("c", "category", ("x",)))
    nan, y = float("nan"), [0.0, 1.0, 0.0]
    with pytest.raises(DataRefused, match="feature c has no value at all"):
        check_matrix(columns, np.array([[1, 2, nan]] * 3, dtype=np.float32), y)
    with pytest.raises(DataRefused, match="no feature varies"):
        check_matrix(columns, np.array([[1, nan, 0]] * 3, dtype=np.float32), y)
    odd = np.array([[0, nan, 0], [1, nan, 0], [0, nan, 0]], dtype=np.float32)
    expected = [
        "feature a equals the label: is it known before?",
        "feature b has no value at all",
        "feature c is constant",
    ]
    assert check_matrix(columns, odd, y) == expected


def test_the_split_is_chronological_with_a_gap() -> None:
    """Nothing that is fitted is younger than the holdout's begin less one label horizon."""
    early, late = split(data(MIXED), 0.25, 6 * HOUR)
    assert (early.tolist(), late.tolist()) == (list(range(144)), list(range(150, 200)))


def test_a_horizon_longer_than_the_history_is_refused() -> None:
    """Where the gap leaves nothing to fit, it is said, not silently narrowed."""
    with pytest.raises(DataRefused, match="0 records to fit before a gap of 400 h"):
        split(data(MIXED), 0.25, 400 * HOUR)


def test_labels_count_only_as_they_were_known(tmp_path: Path) -> None:
    """A training up to a moment uses no record from then on, no label that came later, and no record too young for all.

    Of records within a label horizon of the end only the quick labels are known: a model would take them for common.
    """
    spec, files = make_spec(), write_history(tmp_path, n=100)
    codec = RecordCodec(spec)
    until = START + 50 * HOUR
    known = load_dataset(spec, codec, files, until=until, progress=lambda _: None)
    assert (45, 5) == (len(known), known.young)
    assert int(known.known.max()) < until
    assert int(known.times.max()) < until


def test_revisions_duplicates_and_bad_rows(tmp_path: Path) -> None:
    """The highest revision of a label counts, the first record of an id, and refused records are counted by reason."""
    spec, files = make_spec(), write_history(tmp_path, n=60)
    assert files.labels is not None
    with files.labels.open("a") as file:
        for value in ("late", "on_time"):
            file.write(json.dumps({"id": "p0", "value": value, "time": START + 3 * HOUR, "revision": 1}) + "\n")
    with files.records.open("a") as file:
        file.write(f"p1,north,{START},9.9,1,A,\n")
        file.write(f"p999,north,{START},heavy,1,A,\n")
    loaded = load_dataset(spec, RecordCodec(spec), files, until=None, progress=lambda _: None)
    assert (len(loaded), loaded.duplicates, dict(loaded.refused)) == (60, 1, {"wrong_type": 1})
    assert loaded.y[0] == 1.0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            json.dumps({"id": "p0", "value": "maybe", "time": START + HOUR, "revision": 2}),
            "row 61: p0 is 'maybe', classes are on_time, late",
        ),
        ('{"id":"p0","value":null,"time":1}', "row 61: id or value is null"),
    ],
)
def test_b34_labels_of_no_class(tmp_path: Path, line: str, words: str) -> None:
    """A label of an unknown class, or without a value, is an error that names it."""
    files = write_history(tmp_path, n=60)
    assert files.labels is not None
    with files.labels.open("a") as file:
        file.write(line + "\n")
    spec = make_spec()
    with pytest.raises(UserError, match=words):
        load_dataset(spec, RecordCodec(spec), files, until=None, progress=lambda _: None)
    with pytest.raises(UserError, match="training needs labels for HistGradientBoostingClassifier"):
        load_dataset(spec, RecordCodec(spec), replace(files, labels=None), until=None, progress=lambda _: None)
