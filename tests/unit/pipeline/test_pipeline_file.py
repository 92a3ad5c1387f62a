"""The pipeline's file: every mistake at once, each with its path and its remedy."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.pipeline_yaml import find, load_pipeline, parse, read_tree
from shared.core.errors import UserError
from shared.core.pipeline_file import Mistakes, decode

PARCELS = Path(__file__).parents[2] / "data" / "parcels"
Tree = dict[str, Any]


@pytest.fixture
def tree() -> Tree:
    """A good file's tree, to be spoilt."""
    good = read_tree(PARCELS / "pipeline.yaml")
    assert isinstance(good, dict)
    return good


def put(path: str, value: Any) -> Callable[[Tree], None]:
    """Set `a.b.0.c` in a tree; a group `past` of aggregates is there first where the path goes into it."""

    def change(tree: Tree) -> None:
        if path.startswith("lookups/past/"):
            tree["lookups"]["past"] = copy.deepcopy(PAST)
        node: Any = tree
        *steps, last = path.split("/")
        for step in steps:
            node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
        node[int(last) if isinstance(node, list) else last] = value

    return change


LONGER = (
    "3d is longer than the retention of topic predictions (12h); "
    "raise topics.predictions.retention or lower the horizon"
)
COUNT = {"take": "count", "over": "1h"}
MEAN = {"take": "mean", "over": "1h"}
LAST = {"take": "last", "over": "1h"}
PAST: Tree = {"key": "depot", "max_age": "1h", "aggregates": {"n": COUNT}}
ONE_EACH: list[tuple[str, Any, str, str]] = [
    ("partitions", "four", "partitions", 'must be a whole number, not "four"'),
    ("partitions", 0, "partitions", "0 is too small; at least 1 is allowed"),
    ("partitions", True, "partitions", "must be a whole number, not true"),
    ("name", "Parcels!", "name", '"Parcels!" is no name; use a-z'),
    ("task", "binry", "task", "did you mean binary?"),
    ("schema", 2, "schema", "the number 2 is none of 1"),
    ("record/feilds", {}, "record.feilds", "is no known key"),
    ("features", {}, "features", "must be a list, not a mapping"),
    ("features", [], "features", "is empty"),
    ("labels/horizon", "2 hour", "labels.horizon", '"2 hour" is not a duration; write 2h, 90s or 1d'),
    ("labels/horizon", 7200, "labels.horizon", '"7200" is not a duration'),
    ("labels/horizon", "0s", "labels.horizon", "must be longer than nothing"),
    ("labels/horizon", "20d", "labels.horizon", "20d is longer than the retention of topic predictions (14d); raise"),
    ("labels/classes", [False, "late"], "labels.classes[0]", "must be a text, not false; put it in quotes"),
    ("labels/classes", ["a", "b", "late"], "labels.classes", "has 3 classes, a binary task has 2"),
    ("labels/classes", ["late", "late"], "labels.classes[1]", "stands twice"),
    ("labels/classes", [], "labels.classes", "has 0 classes, a binary task has 2"),
    ("labels/positive", "lat", "labels.positive", '"lat" is none of the classes'),
    ("labels/unit", "min", "labels.unit", "is given, but classes have no unit; take it away"),
    ("labels/threshold", 1.5, "labels.threshold", "1.5 is too large; at most 1"),
    ("labels/threshold", float("nan"), "labels.threshold", "nan is not finite"),
    ("record/id", "parcl", "record.id", "did you mean parcel?"),
    ("record/id", "weight", "record.id", 'field "weight" is of type number; name a field of type string'),
    ("record/event_time", "depot", "record.event_time", "name a field of type timestamp"),
    ("record/fields/parcel/nullable", True, "record.fields.parcel", "is the record's id, which every record must have"),
    ("record/fields/depot/required", False, "record.fields.depot", "is the record's key"),
    ("record/fields/weight/minimum", 71, "record.fields.weight.minimum", "71 is above the maximum, 70"),
    ("record/fields/depot/minimum", 1, "record.fields.depot.minimum", "a string has no minimum"),
    ("record/fields/stops/minimum", 0.5, "record.fields.stops.minimum", "0.5 is not whole"),
    ("record/fields/service/out_of_range", "flag", "record.fields.service.out_of_range", "flags nothing"),
    ('record/fields/a"b', {"type": "string"}, 'record.fields.a"b', "is no usable name"),
    ("features/0/name", "wight", "features[0].name", '"wight" is no field of the record; did you mean weight?'),
    ("features/1/name", "weight", "features[1].name", '"weight" is already features[0]'),
    ("features/0/kind", "category", "features[0].kind", '"weight" is a number, which cannot be category'),
    ("features/5/kind", "numeric", "features[5].kind", '"weather" is a string, which cannot be numeric'),
    ("features/4/lookup", "trafic", "features[4].lookup", '"trafic" is no lookup group; did you mean traffic?'),
    ("features/5/field", "wether", "features[5].field", "no field of the lookup group traffic; did you mean weather?"),
    ("features/0/default", 1.0, "features[0].default", "is given, but `missing` is not default"),
    ("features/0/missing", "default", "features[0].missing", "is default, but none is given"),
    ("features/4/default", "much", "features[4].default", "does not fit kind numeric; write a number"),
    ("features/3/default", "slow", "features[3].default", '"slow" is none of the categories'),
    ("features/0/categories", ["a"], "features[0].categories", "a numeric feature has none"),
    ("features/5/categories", [], "features[5].categories", "is empty"),
    ("lookups/traffic/key", "depo", "lookups.traffic.key", "did you mean depot?"),
    ("lookups/traffic/key", "weight", "lookups.traffic.key", "entities are named by string fields"),
    ("lookups/traffic/max_age", "2 hours", "lookups.traffic.max_age", "is not a duration"),
    ("lookups/traffic/keep", "1h", "lookups.traffic.keep", "is shorter than max_age"),
    ("lookups/traffic/fields/load", "float", "lookups.traffic.fields.load", "is none of boolean, number, string"),
    ("model/estimator", "os.system", "model.estimator", '"os.system" is not from scikit-learn'),
    ("model/estimator", "sklearn.svm", "model.estimator", "is no import path of a class"),
    ("model/search", {"c": [1]}, "model.search.c", "is none of model.parameters"),
    ("model/search/C", [], "model.search.C", "is empty"),
    ("model/tolerance", 0, "model.tolerance", "must be above 0"),
    ("model/target", "log1p", "model.target", "has no meaning in a binary task"),
    ("model/interval", {}, "model.interval", "has no meaning in a binary task"),
    ("model/folds/count", 1, "model.folds.count", "1 is too small; at least 2"),
    ("model/metric", "rmse", "model.metric", '"rmse" is no figure of a binary task'),
    ("monitoring/goal", {"acuracy": 0.9}, "monitoring.goal.acuracy", "did you mean accuracy?"),
    ("monitoring/goal", {"ks": 0.1}, "monitoring.goal.ks", '"ks" is no figure of a binary task'),
    ("monitoring/alerts", [{"metric": "auc"}], "monitoring.alerts[0]", "needs one threshold"),
    ("monitoring/alerts", [{"metric": "auc", "above": 0.9}], "monitoring.alerts[0].above", "when auc is good"),
    ("monitoring/alerts", [{"metric": "rmse", "above": 8}], "monitoring.alerts[0].metric", "no figure of a binary"),
    ("lookups/traffic/aggregates", {"n": COUNT}, "lookups.traffic.aggregates", "are given beside fields"),
    ("lookups/past", PAST | {"aggregates": {}}, "lookups.past.fields", "is empty; declare what the group holds"),
    ("lookups/past", PAST | {"every": "0.1ms"}, "lookups.past.every", "is shorter than a millisecond"),
    ("lookups/past", PAST | {"allow_newer": True}, "lookups.past.allow_newer", "would let a record count itself"),
    ("lookups/past", PAST | {"every": "2h"}, "lookups.past.aggregates.n.over", "is shorter than one step of `every`"),
    ("lookups/past/aggregates/n", COUNT | {"of": "weight"}, "lookups.past.aggregates.n.of", "no meaning for count"),
    ("lookups/past/aggregates/n", {"take": "mean", "over": "1h"}, "lookups.past.aggregates.n.of", "is missing"),
    ("lookups/past/aggregates/n", MEAN | {"of": "wight"}, "lookups.past.aggregates.n.of", "did you mean weight?"),
    ("lookups/past/aggregates/n", MEAN | {"of": "depot"}, "lookups.past.aggregates.n.of", "only numbers have a mean"),
    ("lookups/past/aggregates/n", LAST | {"of": "phone"}, "lookups.past.aggregates.n.of", '"phone" is personal'),
    ("history/hook", "history.py", "history.hook", "is given beside records, labels"),
    ("history/records", "", "history.records", "is missing; features and labels belong to records"),
    ("history/labels", "labels.xls", "history.labels", "no known kind of file"),
    ("history/train_until", "2026-01-01", "history.train_until", "is no RFC 3339 time"),
    ("history/train_from", "2026-02-01T00:00:00Z", "history.train_from", "is not before train_until"),
    ("history/holdout", 0, "history.holdout", "0 leaves nothing to judge by"),
    ("delivery/gather", "1s", "delivery.gather", "uses the whole latency target up"),
    ("topics/prediction", {}, "topics.prediction", "did you mean predictions?"),
    ("topics/features", {"retention": "7d"}, "topics.features.retention", "keeps the last value of each key"),
    ("topics/records/max_message_bytes", 7, "topics.records.max_message_bytes", "too small for a record"),
    ("topics/records/config", {"retention.ms": "1"}, "topics.records.config", "use the key `retention`"),
    ("privacy/drop", ["phon"], "privacy.drop[0]", "did you mean phone?"),
    ("privacy/drop", ["weight"], "privacy.drop[0]", '"weight" is a feature, so it cannot be dropped'),
    ("privacy/drop", ["parcel"], "privacy.drop[0]", "the record's id or key"),
    ("privacy/hash", ["depot"], "privacy.hash[0]", '"depot" is the key of a lookup, so it cannot be hashed'),
    ("privacy/hash", ["phone"], "privacy.hash[0]", "is dropped as well"),
]


@pytest.mark.parametrize(("path", "value", "where", "what"), ONE_EACH)
def test_each_mistake_is_found_once_with_its_path(tree: Tree, path: str, value: Any, where: str, what: str) -> None:
    """One spoilt value is one mistake: at its path, in words, and nothing follows from it elsewhere."""
    put(path, value)(tree)
    with pytest.raises(Mistakes) as caught:
        decode(tree, "pipeline.yaml")
    (mistake,) = caught.value.mistakes
    assert mistake.path == where
    assert what in str(mistake)


def test_all_mistakes_come_at_once_aligned(tree: Tree) -> None:
    """Mistakes of form and of meaning stand together, one aligned line each below the file's name."""
    put("lookups/traffic/max_age", "2 hour")(tree)
    put("topics/predictions/retention", "12h")(tree)
    with pytest.raises(Mistakes) as caught:
        decode(tree, "pipelines/parcels/pipeline.yaml")
    assert str(caught.value).splitlines() == [
        "pipelines/parcels/pipeline.yaml: 2 mistakes",
        '  lookups.traffic.max_age   "2 hour" is not a duration; write 2h, 90s or 1d',
        f"  labels.horizon            {LONGER}",
    ]


@pytest.mark.parametrize("tree", [None, [], "text", 3])
def test_a_file_that_is_no_mapping_is_one_mistake(tree: object) -> None:
    """An empty file, a list or a text is one mistake about the whole file."""
    with pytest.raises(Mistakes, match=r"1 mistake\n.*must be a mapping"):
        decode(tree, "pipeline.yaml")


def test_any_part_may_be_missing_or_of_another_type(tree: Tree) -> None:
    """Whatever one value is replaced by, the answer is a pipeline or mistakes, never another error."""
    for path in _paths(tree):
        values: tuple[Any, ...] = (None, True, 3, -1.5, "x", [], {}, [None], [{}], {"a": None})
        for value in values:
            spoilt = copy.deepcopy(tree)
            put(path, value)(spoilt)
            try:
                decode(spoilt, "pipeline.yaml")
            except Mistakes as error:
                assert error.mistakes  # noqa: PT017 - either end is right


def test_a_regression_has_no_classes_and_no_threshold(tree: Tree) -> None:
    """What only a classification has is a mistake in a regression."""
    tree["task"] = "regression"
    with pytest.raises(Mistakes) as caught:
        decode(tree, "pipeline.yaml")
    assert {m.path for m in caught.value.mistakes} == {"labels.classes", "labels.positive", "labels.threshold"}


def test_a_regression_has_neither_calibration_nor_strata(tree: Tree) -> None:
    """What needs classes is a mistake in a regression; an interval that leaves nothing out as well."""
    tree["task"] = "regression"
    tree["labels"] = {"horizon": "1d"}
    folds = {"kind": "stratified"}
    tree["model"] |= {"calibration": "isotonic", "folds": folds, "interval": {"coverage": 1.0}}
    with pytest.raises(Mistakes) as caught:
        decode(tree, "pipeline.yaml")
    wrong = {"model.calibration", "model.folds.kind", "model.interval.coverage"}
    assert {m.path for m in caught.value.mistakes} == wrong


def test_a_group_of_aggregates_has_their_types(tree: Tree) -> None:
    """Counts and means are numbers, the last value has its field's type; features may read each."""
    past = PAST | {"aggregates": {"n": COUNT, "heavy": MEAN | {"of": "weight"}, "kind": LAST | {"of": "service"}}}
    tree["lookups"]["past"] = past
    tree["features"] += [{"name": "n", "lookup": "past"}, {"name": "kind", "lookup": "past", "kind": "category"}]
    spec = decode(tree, "pipeline.yaml")
    assert spec.lookups["past"].fields == {"n": "number", "heavy": "number", "kind": "string"}


def test_a_good_file_has_the_declared_values(tree: Tree) -> None:
    """A good file decodes to frozen types with durations in seconds and the defaults filled in."""
    spec = decode(tree, "pipeline.yaml")
    assert float(spec.labels.horizon) == 3 * 86_400.0
    assert float(spec.lookups["traffic"].keep) == 86_400.0
    assert spec.features[3].default == "plain"
    assert spec.partitions == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", 'line 3   "a" stands again, first on line 1'),
        ("x: {a: 1, a: 2}\n", 'line 1   "a" stands again, first on line 1'),
        ("a: [1, 2\nb: 3\n", "line 2, column 2   is no YAML"),
        ("a: !!python/object/apply:os.system [id]\n", "line 1, column 4   is no YAML: could not determine"),
        ("a: &x [1]\nb: *x\n", "line 2, column 4   is no YAML: aliases"),
        ("a: \x07\n", "is no YAML"),
        ("a: 1\n---\nb: 2\n", "is no YAML: but found another document"),
        ("[" * 3_000, "is no YAML"),
        ("a: " + "[" * 900 + "]" * 900, "is no YAML"),
    ],
)
def test_what_is_no_plain_yaml_names_its_line(text: str, said: str) -> None:
    """Doubled keys, broken syntax, tags and aliases are named by line; nothing is run or expanded."""
    with pytest.raises(Mistakes) as caught:
        parse(text, "pipeline.yaml")
    assert said in str(caught.value)


def test_times_stay_as_they_are_written() -> None:
    """An unquoted time is a text: it is for the types to say what is a time."""
    assert parse("at: 2013-02-01T00:00:00Z\n", "f") == {"at": "2013-02-01T00:00:00Z"}


def test_a_pipeline_that_is_nowhere_names_the_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The places that were looked at are named, in order."""
    monkeypatch.setenv("TAILRACE_PIPELINES", str(tmp_path / "mine"))
    with pytest.raises(
        UserError, match=r"no pipeline nope: looked at nope/pipeline\.yaml, .*/mine/nope/pipeline\.yaml"
    ):
        find("nope")


def test_a_folder_a_file_and_a_name_lead_to_the_same_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline is found by its folder, by its file, and by its bare name under $TAILRACE_PIPELINES."""
    monkeypatch.setenv("TAILRACE_PIPELINES", str(PARCELS.parent))
    by_folder, by_file = load_pipeline(PARCELS), load_pipeline(PARCELS / "pipeline.yaml")
    assert by_folder == by_file == load_pipeline("parcels")
    assert by_folder.folder == PARCELS


def _paths(node: Any, above: str = "") -> list[str]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [p for key, item in items for path in [f"{above}/{key}".lstrip("/")] for p in (path, *_paths(item, path))]
