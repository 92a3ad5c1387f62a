"""Label, time, id, key and task: found by content and name, overruled by flags, and refused where they cannot be."""

from pathlib import Path

import pytest

from services.retrainer import gate
from shared.core.errors import UserError
from tailrace.initialise import target
from tailrace.initialise.draft import Draft
from tests.support.tables import many, plan, table

PLAIN = table("x,target", *many(60, "{x},{even}"))


def guess(made: Draft, what: str) -> str:
    """What was guessed of something."""
    return next(one.guess for one in made.say.guesses if one.what == what)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ({"label": "targte"}, "--label targte: the file has no such column; did you mean target?"),
        ({"time": "x"}, "--time x: holds no dates"),
        ({"positive": "maybe"}, "--positive maybe: is no class; use no or yes"),
        ({"task": "regression"}, "--task regression: the label target holds no numbers"),
        ({"task": "multiclass"}, "--task multiclass: the label target has 2 classes"),
        ({"kinds": {"x": "colour"}}, "--as x=colour: is no kind of column"),
        ({"delay": "soon"}, '--label-delay: "soon" is not a duration'),
        ({"key": "target"}, "--key target: has another role already"),
        ({"drop": ("x",)}, "no column is left that a model can use"),
        ({"label": "x", "task": "binary"}, "--label x: 0 classes have 5 rows or more, training needs 2"),
    ],
)
def test_a_flag_that_does_not_fit_the_file_is_named(tmp_path: Path, ask: dict[str, object], said: str) -> None:
    """With the column and what to do."""
    with pytest.raises(UserError) as caught:
        plan(tmp_path, PLAIN, **ask)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (many(20, "{x},{even}"), "20 rows have a label in target, training needs 50"),
        (many(60, "{x},always"), "--label target: 1 classes have 5 rows or more, training needs 2"),
        (many(60, "{x},word{i}"), "60 different texts are no classes"),
    ],
)
def test_data_that_cannot_train_is_refused_early(tmp_path: Path, rows: list[str], said: str) -> None:
    """By the training's own minimum: 50 rows, 5 a class."""
    with pytest.raises(UserError) as caught:
        plan(tmp_path, table("x,target", *rows), label="target")
    assert said in str(caught.value)


def test_the_minimum_is_that_of_the_training(tmp_path: Path) -> None:
    """What init takes, the gate takes; also without a label."""
    assert (target.MIN_ROWS, target.MIN_PER_CLASS) == (gate.MIN_ROWS, gate.MIN_PER_CLASS)
    with pytest.raises(UserError, match="49 rows, training needs 50; give more past records"):
        plan(tmp_path, table("x,target", *many(49, "{x},{even}")), no_label=True)


def test_flags_may_call_a_column_as_the_file_does(tmp_path: Path) -> None:
    """Also where the record cannot, and in another case."""
    text = table('"the ""x""",y,Target', *many(60, "{x},{i},{even}"))
    made = plan(tmp_path, text, label="target", drop=('the "x"',), kinds={"Y": "number"})
    assert [field.name for field in made.fields if field.feature] == ["y"]
    assert made.roles.label == "Target"


def test_rare_classes_are_named_and_no_part_of_the_contract(tmp_path: Path) -> None:
    """Their rows stay records, without a label."""
    made = plan(tmp_path, table("x,target", *many(60, "{x},{even}"), *["1,odd"] * 3, "1,rare"))
    assert made.target.classes == ("no", "yes")
    assert (made.target.labelled, len(made.ids)) == (60, 64)
    assert "odd (3), rare (1)" in made.say.warnings[0]


@pytest.mark.parametrize(
    ("label", "task", "classes"),
    [
        ("{even}", "binary", ("no", "yes")),
        ("c{c}", "multiclass", tuple(f"c{i}" for i in range(1, 6))),
        ("{i}.5", "regression", ()),
        ("{i}", "regression", ()),
    ],
)
def test_the_task_follows_the_label(tmp_path: Path, label: str, task: str, classes: tuple[str, ...]) -> None:
    """Two texts, some texts, many numbers."""
    rows = [f"{(i % 7) / 10},{label.format(i=i, c=i % 5 + 1, even='no' if i % 2 else 'yes')}" for i in range(100)]
    made = plan(tmp_path, table("x,target", *rows))
    assert (made.target.task, made.target.classes) == (task, classes)


def test_the_positive_class_is_the_word_for_yes_or_the_rarer_one(tmp_path: Path) -> None:
    """It stands last, and --positive says otherwise."""
    rows = [f"{i % 7},{'left' if i % 3 else 'stayed'}" for i in range(90)]
    text = table("x,target", *rows)
    assert plan(tmp_path, PLAIN).target.positive == "yes"
    assert plan(tmp_path, text).target.positive == "stayed"
    asked = plan(tmp_path, text, positive="Left").target
    assert (asked.positive, asked.classes) == ("left", ("stayed", "left"))


def test_a_skewed_positive_number_is_learned_by_its_logarithm(tmp_path: Path) -> None:
    """Prices are; what is even, or below zero, is not."""
    made = plan(tmp_path, table("x,price", *[f"{i % 7},{2 ** (i / 6):.3f}" for i in range(90)]))
    assert made.target.log
    assert not plan(tmp_path, table("x,price", *[f"{i % 7},{i + 0.5}" for i in range(90)])).target.log
    assert not plan(tmp_path, table("x,price", *[f"{i % 7},{2 ** (i / 6) - 3:.3f}" for i in range(90)])).target.log


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        (("0", "1", "1.0", "0", "1", "0.0"), ("0", "1")),
        (("yes", "no", "true", "no", "yes", "false"), ("no", "yes")),
        (("1", "2", "3", "1.0", "2.0", "unknown"), ("1", "2", "3", "unknown")),
    ],
)
def test_two_ways_to_write_a_value_are_one_class(
    tmp_path: Path, words: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    """A file that pandas wrote half of has 1 and 1.0; four classes of two numbers would teach nothing."""
    rows = [f"{i / 7:.3f},{words[i % 6]}" for i in range(180)] + [f"{i / 7:.3f},{words[i % 3]}" for i in range(180)]
    made = plan(tmp_path, table("x,target", *rows), kinds={"target": "number"} if "unknown" in words else {})
    assert (made.target.classes, made.target.labelled) == (classes, 360)


def test_spellings_of_a_class_are_one(tmp_path: Path) -> None:
    """The most frequent one, and it is said."""
    made = plan(tmp_path, table("x,target", *many(60, "{x},{even}"), *["1,YES"] * 6))
    assert made.target.classes == ("no", "yes")
    assert "YES taken as yes" in made.say.warnings[0]


def test_roles_are_found_by_content_and_name(tmp_path: Path) -> None:
    """An id is different in each row, a key comes again, a time is no birthday."""
    rows = [
        f"T{i:03},C{i % 9},1990-01-0{i % 9 + 1},2024-0{i % 9 + 1}-11,{i % 7},{'no' if i % 2 else 'yes'}"
        for i in range(90)
    ]
    made = plan(tmp_path, table("trip_id,customer,birthday,seen,x,churn", *rows))
    roles = made.roles
    assert (roles.label, roles.id, roles.key, roles.time) == ("churn", "trip_id", "customer", "seen")
    assert guess(made, "task") == "binary of no, yes"


def test_what_is_dropped_or_said_to_be_a_number_has_no_role(tmp_path: Path) -> None:
    """A guess never takes a column that a flag speaks of."""
    rows = [f"T{i:03},C{i % 9},2024-0{i % 9 + 1}-11,{i},{'no' if i % 2 else 'yes'},{i % 4}" for i in range(90)]
    text = table("trip_id,customer,seen,x,churn,grade", *rows)
    made = plan(tmp_path, text, drop=("trip_id", "customer", "seen", "churn"), kinds={"x": "number"}, label="grade")
    assert (made.roles.id, made.roles.key, made.roles.time) == ("", "", "")
    assert [field.name for field in made.fields] == ["id", "event_time", "x"]
    assert plan(tmp_path, text, drop=("churn",)).roles.label == "grade"


def test_without_time_id_and_key_they_are_made_and_the_loss_is_said(tmp_path: Path) -> None:
    """The id is the key, times follow the rows; fields of those names are not overwritten."""
    made = plan(
        tmp_path, table("id,event_time,target", *[f"{i % 9}.5,{i % 7},{'no' if i % 3 else 'yes'}" for i in range(60)])
    )
    roles = made.roles
    assert (roles.id, roles.key, roles.time) == ("", "", "")
    assert (roles.id_field, roles.key_field, roles.time_field) == ("record_id", "record_id", "record_event_time")
    assert made.ids.tolist()[:2] == ["line-2", "line-3"]
    assert len(set(made.timeline.times.tolist())) == 60
    assert [text.partition(":")[0] for text in made.say.lost] == ["no time", "no time", "no key"]


def test_a_file_sorted_by_its_label_is_shuffled(tmp_path: Path) -> None:
    """Else the last quarter, which judges, would be one class; with a time column the times decide."""
    rows = [f"{i % 7},{'no' if i < 40 else 'yes'}" for i in range(80)]
    made = plan(tmp_path, table("x,target", *rows))
    assert guess(made, "order of rows") == "shuffled"
    last = [made.target.y[i] for i in made.timeline.order.tolist()[60:]]
    assert set(last) == {"no", "yes"}
    assert plan(tmp_path, table("x,target", *rows)).timeline.order.tolist() == made.timeline.order.tolist()


def test_a_short_history_has_a_short_label_delay(tmp_path: Path) -> None:
    """A day's gap would leave nothing of two hours; a delay that leaves nothing is refused."""
    rows = [f"2024-01-01T10:{i % 60:02}:00Z,{i % 7},{'no' if i % 2 else 'yes'}" for i in range(60)]
    text = table("at_time,x,target", *rows)
    assert plan(tmp_path, text).timeline.delay_ms == 60_000
    with pytest.raises(UserError, match="--label-delay 1d leaves nothing to learn from: the file spans 59m"):
        plan(tmp_path, text, delay="1d")


def test_columns_that_are_the_label_are_left_out(tmp_path: Path) -> None:
    """One to one with the classes, or the number in another unit; nearly so is a warning with its flag."""
    rows = [f"{i % 7},{i % 2},{'no' if i % 2 else 'yes'}" for i in range(90)]
    made = plan(tmp_path, table("x,copy,target", *rows))
    assert [field.name for field in made.fields if field.feature] == ["x"]
    assert guess(made, "column copy") == "left out"
    rows = [f"{i % 7},{i * 2.54 + 1},{i + (i % 3) / 2},{i}" for i in range(90)]
    made = plan(tmp_path, table("x,inches,near,target", *rows))
    assert [field.name for field in made.fields if field.feature] == ["x", "near"]
    assert "near nearly tells the label (r = 1.000): is it known before? if not: --drop near" in made.say.warnings
