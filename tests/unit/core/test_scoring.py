"""From scores to predictions; and observations, whose hand-made bytes must be what the type says."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.codec import Decoded
from shared.core.features import Matrix
from shared.core.ports import Found
from shared.core.records import SCHEMA_VERSION, Observation, Prediction
from shared.core.scoring import Answers, ObservationWriter, Version, ages_of, answers, flags_of, predictions
from tests.support.spec import make_spec

BINARY = Version(3, "v3", "d" * 64, ("on_time", "late"), 0.5)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("classes", [("on_time", "late"), ("late", "on_time")])
def test_binary_score_is_the_positive_class_in_whatever_column(classes: tuple[str, str]) -> None:
    """The contract's class order decides the column, the threshold belongs to the positive side."""
    version = with_classes(BINARY, classes)
    raw = np.array([[0.5, 0.5], [0.51, 0.49]])
    raw = raw if classes[1] == "late" else raw[:, ::-1]
    got = answers(make_spec(), version, raw)
    assert (got.scores, got.labels, got.probabilities) == ([0.5, 0.49], ["late", "on_time"], ())


def with_classes(version: Version, classes: tuple[str, ...]) -> Version:
    """The same version with other classes."""
    return Version(version.epoch, version.version, version.digest, classes, version.threshold)


def test_multiclass_takes_the_likeliest_and_names_all() -> None:
    """The first of equals, as argmax has it; probabilities by class name in contract order."""
    version = with_classes(BINARY, ("early", "on_time", "late"))
    got = answers(make_spec("multiclass"), version, np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]))
    assert (got.scores, got.labels) == ([0.5, 0.4], ["on_time", "early"])
    assert list(got.probabilities[0] or {}) == ["early", "on_time", "late"]


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_regression_is_the_value_twice(shape: tuple[int, ...]) -> None:
    """As score and as label, whether the model gives a column or a row."""
    got = answers(make_spec("regression"), with_classes(BINARY, ()), np.array([1.5, -2.0]).reshape(shape))
    assert (got.scores, got.labels) == ([1.5, -2.0], [1.5, -2.0])


def test_flags_and_ages_a_row() -> None:
    """Flags in a fixed order, ages by group; nothing where there is nothing."""
    marks = {"unseen": np.array([True, False]), "degraded": np.array([True, True])}
    assert flags_of(Matrix(np.empty((2, 0), np.float32), marks, {})) == [("degraded", "unseen"), ("degraded",)]
    assert flags_of(Matrix(np.empty((2, 0), np.float32), {}, {})) == ()
    found = Found({"w": [None, {}]}, {"w": [None, 3.0], "a": [1.0, 2.0]}, {})
    assert ages_of(found) == [{"a": 1.0, "w": None}, {"a": 2.0, "w": 3.0}]
    assert ages_of(Found()) == ()


def test_predictions_are_made_by_columns() -> None:
    """Each row's own id, key, position and time; the version's name, epoch and short digest."""
    decoded = Decoded(rows=[0, 0], index=[0, 1], ids=["a", "b"], keys=["k", "l"], times=[7, 8], refused=[])
    answer = answers(make_spec(), BINARY, np.array([[0.9, 0.1], [0.2, 0.8]]))
    made = predictions(decoded, [(0, 5), (1, 6)], BINARY, answer, [(), ("stale",)], [None, {"w": 1.0}])
    assert [msgspec.json.decode(one, type=Prediction) for one in made] == [
        Prediction(1, "a", "k", (0, 5), 7, 0.1, "on_time", "v3", "d" * 16, 3),
        Prediction(1, "b", "l", (1, 6), 8, 0.8, "late", "v3", "d" * 16, 3, None, None, ("stale",), {"w": 1.0}),
    ]


def test_columns_of_different_lengths_are_refused() -> None:
    """A column that is too short would silently leave predictions out."""
    decoded = Decoded(rows=[0, 0], index=[0, 1], ids=["a", "b"], keys=["k", "l"], times=[7, 8], refused=[])
    answer = answers(make_spec(), BINARY, np.array([[0.9, 0.1], [0.2, 0.8]]))
    with pytest.raises(ValueError, match=r"columns of \[1, 2\] rows"):
        predictions(decoded, [(0, 5)], BINARY, answer, [(), ()], [None, None])


@settings(max_examples=200, deadline=None)
@given(
    prediction=st.builds(
        Prediction,
        v=st.just(1), id=TEXT, key=TEXT, at=st.tuples(st.integers(0, 9), st.integers(0, 2**53)),
        event_time=st.integers(0, 2**53), score=NUMBER, label=TEXT | NUMBER, version=TEXT, digest=TEXT,
        epoch=st.integers(0, 99), probabilities=st.none() | st.dictionaries(TEXT, NUMBER, max_size=2),
        interval=st.none(), flags=st.tuples(TEXT),
        ages=st.none() | st.dictionaries(TEXT, st.none() | NUMBER, max_size=2),
    ),
    record=st.dictionaries(TEXT, TEXT | NUMBER | st.none(), max_size=3),
    groups=st.dictionaries(TEXT, st.none() | st.dictionaries(TEXT, TEXT | NUMBER, max_size=2), max_size=3),
    logged=st.integers(0, 2**53),
)  # fmt: skip
def test_observation_bytes_are_an_observation(
    prediction: Prediction, record: dict[str, Any], groups: dict[str, dict[str, Any] | None], logged: int
) -> None:
    """What is written by hand decodes as the type, equal in every field, whatever the texts."""
    body = msgspec.json.encode(record)
    found = Found({name: [{"other": 1}, value] for name, value in groups.items()})
    writer = ObservationWriter(found, 2, "d" * 64, lambda value: value)
    (made,) = writer.encode([1], [msgspec.json.encode(prediction)], [body], [logged])
    got = msgspec.json.decode(made, type=Observation)
    expected = Observation(SCHEMA_VERSION, prediction, msgspec.Raw(body), groups, "d" * 64, logged)
    for name in Observation.__struct_fields__:
        assert getattr(got, name) == getattr(expected, name), name


def test_observation_of_a_record_that_may_not_leave_has_none() -> None:
    """A body that cannot be made fit is null, and the observation still decodes."""
    writer = ObservationWriter(Found(), 1, "d", lambda _: None)
    made = Prediction(1, "a", "k", (0, 5), 7, 0.1, "x", "v3", "d", 3)
    (text,) = writer.encode([0], [msgspec.json.encode(made)], [b"{}"], [1])
    got = msgspec.json.decode(text, type=Observation)
    assert (bytes(got.record), got.lookups) == (b"null", {})


def test_one_version_for_many_records_is_encoded_once_and_never_mixed_up() -> None:
    """The memo goes by identity: records that share a version share its text, others have their own."""
    a, b = {"wind": 1}, {"wind": 2}
    writer = ObservationWriter(Found({"w": [a, b, a, None]}), 4, "d", None)
    made = writer.encode(range(4), [b"{}"] * 4, [b"{}"] * 4, [0] * 4)
    texts = [msgspec.json.decode(text)["lookups"]["w"] for text in made]
    assert texts == [a, b, a, None]
    assert writer._lookups[0] is writer._lookups[2]


def test_columns_that_say_nothing_are_left_out() -> None:
    """Without flags, ages, probabilities and intervals a prediction is the same as with a column of none of each."""
    decoded = Decoded(rows=[0, 0], index=[0, 1], ids=["a", "b"], keys=["k", "l"], times=[7, 8], refused=[])
    answer = answers(make_spec(), BINARY, np.array([[0.9, 0.1], [0.2, 0.8]]))
    places = [(0, 5), (1, 6)]
    listed = Answers(answer.scores, answer.labels, [None, None], [None, None])
    assert predictions(decoded, places, BINARY, answer, (), ()) == predictions(
        decoded, places, BINARY, listed, [(), ()], [None, None]
    )
