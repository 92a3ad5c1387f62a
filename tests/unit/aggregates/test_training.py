"""Aggregates in training: which records count, and that no record knows of its own or a later one."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.retrainer.dataset import Dataset, Files, load_dataset
from shared.core.codec import RecordCodec
from shared.core.errors import UserError
from shared.core.pipeline_file import decode
from tests.support.spec import make_tree

T0, HOUR = 1_767_225_600_000, 3_600_000
UPDATE = {"group": "past", "entity": "D1", "time": T0, "values": {"n": 7}}


def train(folder: Path, rows: list[dict[str, Any]], labelled: set[str], **history: Any) -> Dataset:
    """What training makes of these records."""
    tree = make_tree() | {"history": {"records": "records.jsonl", "labels": "labels.jsonl"} | history}
    mean = {"take": "mean", "of": "weight", "over": "10d"}
    aggregates = {"n": {"take": "count", "over": "10d"}, "weight": mean}
    tree["lookups"] = {"past": {"key": "depot", "aggregates": aggregates, "max_age": "30d", "keep": "30d"}}
    tree["features"] = [{"name": "n", "lookup": "past"}]
    spec = decode(tree, "parcels")
    names = sorted(labelled)
    labels = [{"id": name, "value": "late", "time": T0 + 40 * HOUR} for name in names]
    for name, lines in (("records", rows), ("labels", labels), ("features", [UPDATE])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    features = folder / "features.jsonl" if "features" in history else None
    tree_files = Files(folder / "records.jsonl", features, folder / "labels.jsonl")
    return load_dataset(spec, RecordCodec(spec), tree_files, until=None, progress=lambda _: None)


def row(i: int, hour: float, **changes: Any) -> dict[str, Any]:
    """A record of depot D1."""
    return {"id": f"r{i}", "depot": "D1", "at": T0 + round(hour * HOUR), "weight": float(i), "carrier": "A"} | changes


def counts(data: Dataset) -> list[int | None]:
    """The count that each record sees."""
    return [None if value is None else value["n"] for value in data.found.values["past"]]


def test_values_in_a_feature_file_would_contradict_the_records(tmp_path: Path) -> None:
    """A group that the platform keeps has no rows in a file; the message says what to do."""
    with pytest.raises(UserError, match=r"row 1: group 'past' is kept from the records; leave its rows out"):
        train(tmp_path, [row(1, 39)], {"r1"}, features="features.jsonl")


def test_every_accepted_record_counts_labelled_or_not(tmp_path: Path) -> None:
    """Unlabelled ones and those before `train_from` count; refused and repeated ones do not."""
    rows = [
        row(1, 1),
        row(2, 36),
        row(3, 37, weight="heavy"),
        row(2, 36),
        row(4, 38, depot="D2"),
        row(5, 39),
        row(6, 39.5),
    ]
    data = train(tmp_path, rows, {"r5", "r6"}, train_from="2026-01-02T00:00:00Z")
    assert [2, 3] == counts(data)
    assert 1.5 == data.found.values["past"][0]["weight"]  # type: ignore[index] # it has values
    assert {"wrong_type": 1} == data.refused


def test_what_comes_after_the_end_of_training_is_not_known(tmp_path: Path) -> None:
    """A record at or after `train_until` changes nothing, wherever it stands in the file."""
    rows = [row(9, 50), row(1, 35), row(2, 36)]
    data = train(tmp_path, rows, {"r1", "r2"}, train_until="2026-01-03T00:00:00Z")
    assert [0, 1] == counts(data)


def test_no_record_knows_itself_or_the_future(tmp_path: Path) -> None:
    """Whatever follows a record, and whatever it holds itself, its aggregates are the same."""
    rows = [row(i, 30 + i) for i in range(8)]
    before = train(tmp_path, rows[:6], {"r5"})
    changed = [*rows[:5], row(5, 35, weight=1e9), row(6, 36, weight=-1e9), rows[7]]
    after = train(tmp_path, changed, {"r5"})
    assert before.found.values["past"] == after.found.values["past"]
    assert [5] == counts(before)
