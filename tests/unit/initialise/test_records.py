"""The folder that is written: its records pass the platform's own codec, and bad input has a defined result."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.retrainer.dataset import Files, load_dataset
from shared.adapters.pipeline_yaml import load_pipeline
from shared.adapters.tables import read_rows
from shared.core.codec import RecordCodec
from shared.core.errors import UserError
from shared.core.features import FeatureBuilder, learn_columns
from shared.core.ports import Found
from tailrace.initialise.main import initialise
from tailrace.initialise.plan import Request
from tests.support.tables import made, many, quiet, table

NOTHING_FOUND = Found(values={}, ages={}, causes={})
HEADER = "order_no,customer,seen,Größe (mm),colour,paid,note,churn"
ROWS = [
    f"{i},C{i % 9},2024-01-{i % 28 + 1:02}T0{i % 9}:00:00Z,{i % 40 + 0.5},{'red' if i % 3 else 'blue'},"
    f"{'yes' if i % 4 else 'no'},it is note {i} of many,{'no' if i % 2 else 'yes'}"
    for i in range(1, 121)
]


def scored(folder: Path, records: Sequence[dict[str, Any]]) -> tuple[Any, Any]:
    """What the codec and the matrix make of records, with the columns that training would learn."""
    spec = load_pipeline(folder).spec
    codec = RecordCodec(spec)
    history = codec.decode([json.dumps(row).encode() for row in read_rows(folder / "records.parquet")])
    columns = learn_columns(spec, codec, history.rows, NOTHING_FOUND)
    decoded = codec.decode([json.dumps(record).encode() for record in records])
    return decoded, FeatureBuilder(spec, codec, columns).matrix(decoded.rows, NOTHING_FOUND)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a table with everything in it."""
    return made(tmp_path, table(HEADER, *ROWS))[1]


def test_every_record_of_the_history_is_one_that_the_pipeline_takes(folder: Path) -> None:
    """None is refused, none is flagged; they stand in order of time."""
    rows = list(read_rows(folder / "records.parquet"))
    decoded, matrix = scored(folder, rows)
    assert (len(decoded.rows), decoded.refused, matrix.flags) == (120, [], {})
    assert decoded.times == sorted(decoded.times)
    assert load_pipeline(folder).spec.record.key == "customer"


def test_names_units_and_types_are_those_of_the_file(folder: Path) -> None:
    """Producers send the columns as they are called; yes and no are true and false."""
    spec = load_pipeline(folder).spec
    assert list(spec.record.fields) == ["order_no", "customer", "seen", "Größe (mm)", "colour", "paid", "note"]
    assert [field.type for field in spec.record.fields.values()] == [
        *("string", "string", "timestamp", "number", "string", "boolean", "string")
    ]
    assert spec.record.fields["Größe (mm)"].unit == "mm"
    assert [feature.name for feature in spec.features] == ["Größe (mm)", "colour", "paid"]


def test_labels_come_after_their_records(folder: Path) -> None:
    """One a record, by its delay later."""
    labels = list(read_rows(folder / "labels.parquet"))
    times = {row["order_no"]: row["seen"] for row in read_rows(folder / "records.parquet")}
    spec = load_pipeline(folder).spec
    assert {row["time"] - times[row["id"]] for row in labels} == {int(spec.labels.horizon * 1000)}
    assert sorted({row["value"] for row in labels}) == ["no", "yes"]


def test_an_unseen_category_a_missing_and_an_impossible_value_are_scored(folder: Path) -> None:
    """The first is flagged `unseen`, the last `out_of_range`; an absent optional value is NaN and no flag."""
    good = next(iter(read_rows(folder / "records.parquet")))
    records = [good, good | {"colour": "green"}, good | {"Größe (mm)": 9e9}, good | {"note": None}]
    decoded, matrix = scored(folder, records)
    assert decoded.refused == []
    assert {name: flags.tolist() for name, flags in matrix.flags.items()} == {
        "unseen": [False, True, False, False],
        "out_of_range": [False, False, True, False],
    }


def test_a_wrong_type_and_a_missing_required_value_are_dead_letters(folder: Path) -> None:
    """What the file never lacked is required; nothing is coerced."""
    good = next(iter(read_rows(folder / "records.parquet")))
    less = {name: value for name, value in good.items() if name != "colour"}
    decoded, _ = scored(folder, [good | {"paid": "yes"}, less, good | {"Größe (mm)": "12,5"}])
    assert [reason for _, reason, _ in decoded.refused] == ["wrong_type", "missing_field", "wrong_type"]


def test_a_label_of_a_class_that_the_contract_does_not_know_is_named(folder: Path) -> None:
    """Training stops; nothing is taken for another class."""
    spec = load_pipeline(folder).spec
    (folder / "late.csv").write_text("id,value,time\n1,maybe,2024-02-01T00:00:00Z\n")
    files = Files(folder / "records.parquet", None, folder / "late.csv")
    with pytest.raises(UserError, match="row 1: 1 is 'maybe', classes are no, yes"):
        load_dataset(spec, RecordCodec(spec), files, until=None, progress=quiet)


def test_what_a_column_lacks_somewhere_may_be_null(tmp_path: Path) -> None:
    """And is a missing value in the history."""
    _, folder = made(tmp_path, table("x,y,target", *many(60, "{x},{i},{even}"), "NA,7,yes"))
    spec = load_pipeline(folder).spec
    assert (spec.record.fields["x"].nullable, spec.record.fields["y"].nullable) == (True, False)
    rows = [row["x"] for row in read_rows(folder / "records.parquet")]
    assert rows.count(None) == 1


def test_rows_without_a_time_are_rejected_with_their_text(tmp_path: Path) -> None:
    """By line and reason, in the file's order, beside the broken ones."""
    rows = [*ROWS[:5], ROWS[5].replace("2024-01-07T06:00:00Z", "soon"), "1,2", *ROWS[6:]]
    report, folder = made(tmp_path, table(HEADER, *rows))
    rejected = list(read_rows(folder / "rejected.csv"))
    assert [(row["line"], row["reason"]) for row in rejected] == [
        ("7", 'no time in seen: "soon"'),
        ("8", "too few cells: 2 under 8 column names"),
    ]
    assert rejected[1]["text"] == "1,2"
    assert (report.rows, report.records, report.rejected) == (121, 119, 2)


def test_exact_copies_are_dropped_and_other_doubles_made_unique(tmp_path: Path) -> None:
    """A copy of a row is one record; two rows with one id are two, and both are named."""
    rows = [f"K{i},{i % 7},{'no' if i % 2 else 'yes'}" for i in range(200)]
    report, folder = made(tmp_path, table("order_id,x,target", *rows, rows[3], "K5,99,no"), id="order_id")
    ids = [row["order_id"] for row in read_rows(folder / "records.parquet")]
    assert len(ids) == len(set(ids)) == 201
    assert "K5-2" in ids
    assert report.reasons == {"an exact copy of line 5": 1}
    told = {one.what: one.guess for one in report.guesses}
    assert (told["exact copies"], told["repeated ids"]) == ("1 left out", "1 made unique")


def test_a_file_that_was_written_twice_is_one(tmp_path: Path) -> None:
    """Every second row is an exact copy; the id is still seen."""
    rows = [f"K{i},{i % 7},{'no' if i % 2 else 'yes'}" for i in range(100)]
    report, folder = made(tmp_path, table("order_id,x,target", *rows, *rows))
    assert (load_pipeline(folder).spec.record.id, report.records, report.rejected) == ("order_id", 100, 100)


def test_an_id_that_mostly_repeats_is_a_key_instead(tmp_path: Path) -> None:
    """It names an entity; equal rows without an id are different records."""
    rows = [f"K{i % 20},{i % 7},{'no' if i % 2 else 'yes'}" for i in range(280)]
    report, folder = made(tmp_path, table("customer_id,x,target", *rows))
    spec = load_pipeline(folder).spec
    assert (spec.record.id, spec.record.key, report.records) == ("id", "customer_id", 280)


def test_a_record_that_lacks_its_key_is_an_entity_of_its_own(tmp_path: Path) -> None:
    """Said, and keyed by its id."""
    rows = [f"{'' if i == 7 else f'C{i % 9}'},{i % 5},{'no' if i % 2 else 'yes'}" for i in range(90)]
    report, folder = made(tmp_path, table("customer,x,target", *rows))
    rows_ = [row for row in read_rows(folder / "records.parquet") if row["customer"] == row["id"]]
    assert [row["id"] for row in rows_] == ["line-9"]
    assert "1 rows lack the key" in report.warnings[0]


def test_columns_that_help_no_model_are_left_out_with_their_reason(tmp_path: Path) -> None:
    """Empty ones leave the record as well; constant ones, free text and many names stay in it without a feature."""
    rows = [f",EU,text of row number {i} here,N{i % 80},{i % 7},{'no' if i % 2 else 'yes'}" for i in range(100)]
    _, folder = made(tmp_path, table("void,region,remark,who,x,target", *rows))
    spec = load_pipeline(folder).spec
    assert [feature.name for feature in spec.features] == ["x"]
    assert list(spec.record.fields) == ["id", "event_time", "region", "remark", "who", "x"]
    assert spec.record.extra == "ignore"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert "column void: no row has a value" in readme
    assert "| `region` | text, may be null | it is the same in every row |" in readme


def test_a_column_of_texts_too_long_for_a_record_is_left_out(tmp_path: Path) -> None:
    """A document is no field."""
    rows = [f"{'word ' * (2000 if i == 3 else 2)},{i % 7},{'no' if i % 2 else 'yes'}" for i in range(60)]
    _, folder = made(tmp_path, table("essay,x,target", *rows))
    assert "essay" not in load_pipeline(folder).spec.record.fields


def test_what_may_not_stand_in_yaml_bare_is_quoted(tmp_path: Path) -> None:
    """Names and categories such as no, 1.0, `#`, a colon or a brace come back as they were."""
    rows = [
        f"{'no' if i % 3 else 'off'},{'1.0' if i % 4 else '#a: {b}'},{i % 7},{'x' if i % 2 else 'y'}" for i in range(60)
    ]
    _, folder = made(
        tmp_path, table('null,"a: [b], #",yes,target', *rows), kinds={"null": "category", "a: [b], #": "category"}
    )
    spec = load_pipeline(folder).spec
    assert list(spec.record.fields) == ["id", "event_time", "null", "a: [b], #", "yes"]
    assert [feature.categories for feature in spec.features[:2]] == [("no", "off"), ("#a: {b}", "1.0")]


@pytest.mark.parametrize("scale", [1e-9, 1e-5, 1.0, 1e15, 1e25])
def test_numbers_of_any_size_have_bounds_that_yaml_reads_back(tmp_path: Path, scale: float) -> None:
    """Wider than what was seen; tiny and huge ones too."""
    _, folder = made(tmp_path, table("x,target", *[f"{i * scale!r},{'no' if i % 2 else 'yes'}" for i in range(1, 61)]))
    field = load_pipeline(folder).spec.record.fields["x"]
    assert field.minimum == 0
    assert field.maximum == pytest.approx(90 * scale, rel=0.05)


def test_a_late_label_keeps_its_topics_long_enough(tmp_path: Path) -> None:
    """The file would not validate otherwise."""
    rows = [
        f"{datetime.fromtimestamp(1.6e9 + i * 864_000, UTC):%Y-%m-%d},{i % 7},{'no' if i % 2 else 'yes'}"
        for i in range(90)
    ]
    _, folder = made(tmp_path, table("day,x,target", *rows), delay="60d")
    spec = load_pipeline(folder).spec
    assert {name: wish.retention for name, wish in spec.topics.items()} == {
        "journal": 120 * 86_400.0,
        "predictions": 120 * 86_400.0,
    }


def test_a_folder_that_is_there_is_not_touched_unless_forced(tmp_path: Path) -> None:
    """With --force the files of an earlier run are replaced, and others stay."""
    _, folder = made(tmp_path, table(HEADER, *ROWS))
    (folder / "mine.txt").write_text("mine")
    ask = Request(name="made", path=tmp_path / "data.csv")
    with pytest.raises(UserError, match="is there already; name another --out, or --force"):
        initialise(ask, folder, quiet)
    assert len(initialise(ask, folder, quiet, force=True).files) == 6
    assert (folder / "mine.txt").read_text() == "mine"
    assert not [path for path in folder.parent.iterdir() if path != folder]


def test_force_replaces_nothing_that_init_did_not_make(tmp_path: Path) -> None:
    """`--out . --force` in somebody's project costs neither its README.md nor its labels."""
    (tmp_path / "data.csv").write_text(table(HEADER, *ROWS))
    folder = tmp_path / "project"
    folder.mkdir()
    mine = {name: f"my own {name}" for name in ("README.md", ".gitignore", "labels.parquet")}
    for name, text in mine.items():
        (folder / name).write_text(text)
    with pytest.raises(UserError, match=r"README\.md that `tailrace init` did not make"):
        initialise(Request(name="made", path=tmp_path / "data.csv"), folder, quiet, force=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == mine


@pytest.mark.parametrize("odd", ["\x7f", "\x85", "\u2028", "\ufeff", "\U000e0001"])
def test_a_category_keeps_the_characters_that_yaml_has_none_for(tmp_path: Path, odd: str) -> None:
    """It is in the file what it is in the records, and a file's name cannot end the comment that has it."""
    source = tmp_path / "data\nlabels: {}.csv"
    rows = [f"{i / 7:.3f},a{odd}{i % 3},{'no' if i % 2 else 'yes'}" for i in range(60)]
    source.write_text(table("x,kind,target", *rows), encoding="utf-8")
    initialise(Request(name="made", path=source), tmp_path / "made", quiet)
    (kind,) = (feature for feature in load_pipeline(tmp_path / "made").spec.features if feature.name == "kind")
    met = {row["kind"] for row in read_rows(tmp_path / "made" / "records.parquet")}
    assert set(kind.categories or ()) == met
    assert met == {f"a{odd}0", f"a{odd}1", f"a{odd}2"}


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """It says all the same."""
    (tmp_path / "data.csv").write_text(table(HEADER, *ROWS))
    report = initialise(Request(name="made", path=tmp_path / "data.csv"), tmp_path / "out", quiet, dry=True)
    assert (report.files, report.records, report.task) == ((), 120, "binary")
    assert not (tmp_path / "out").exists()


def test_the_same_file_makes_the_same_folder(tmp_path: Path) -> None:
    """Byte by byte: nothing depends on the clock or on an order of sets."""
    first = {path.name: path.read_bytes() for path in made(tmp_path, table(HEADER, *ROWS))[1].iterdir()}
    ask = Request(name="made", path=tmp_path / "data.csv")
    folder = tmp_path / "pipelines" / "made"
    initialise(ask, folder, quiet, force=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
