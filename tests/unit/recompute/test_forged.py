"""Forged journals: whatever stands in an entry, observer and recomputation go on, and agree on what is none."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.core.pipeline import PipelineSpec
from tailrace.recompute.partition import recompute
from tailrace.recompute.quality import quality
from tailrace.recompute.terms import terms_of
from tests.support.journals import HOUR, T0, Entry, Mix, as_bytes, journal, label, make, observation
from tests.support.recomputed import alone, compared, known, online

TASKS = ("binary", "multiclass", "regression")
RAW = "@"  # a text that begins with it stands in the bytes without its quotes
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e300, -1e300, 1e13, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**24,
    T0, T0 - 10**12, 253_402_300_799_999, 253_402_300_800_000, "", "v1", "a" * 256, "a" * 257, "a/b", "v1/shadow",
    "\x00", "late", "early", "5", "\u00e9" * 40, [], {}, [1, 2], [T0, -1], {"a": 1}, {"wind": "strong"}, {"late": 7},
    f"{RAW}1e400", f"{RAW}-1e-400", f"{RAW}1e20", f"{RAW}5.0", f"{RAW}NaN", f"{RAW}{'9' * 400}", f'{RAW}"\\ud800"',
    f"{RAW}{'[' * 3_000}{']' * 3_000}", f'{RAW}{{"weather":5,"weather":null}}', f'{RAW}{{"weather":{{"wind":1e400}}}}',
    f'{RAW}{{"other":1e400}}',
)  # fmt: skip


def raw(entry: Any) -> bytes:
    """Its bytes, raw parts as they are."""
    text = json.dumps(entry)
    for one in HOSTILE:
        if isinstance(one, str) and one.startswith(RAW):
            text = text.replace(json.dumps(one), one[1:])
    return text.encode()


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a tree."""
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(found for key, value in branches for found in places(value, (*path, key)))]


def forged(entry: Entry, data: st.DataObject) -> bytes | None:
    """An entry with something wrong: a value replaced, taken away or added, or bytes cut off or turned over."""
    tree = json.loads(json.dumps(entry))
    *path, last = data.draw(st.sampled_from(places(tree)[1:]))
    branch = tree
    for key in path:
        branch = branch[key]
    way = data.draw(st.sampled_from(["value", "value", "value", "gone", "more", "cut", "turned", "null"]))
    if way == "null":
        return None
    if way == "gone":
        del branch[last]
    elif way == "more" and isinstance(branch, dict):
        branch[data.draw(st.sampled_from(["x", "v", "time", "late"]))] = data.draw(st.sampled_from(HOSTILE))
    else:
        branch[last] = data.draw(st.sampled_from(HOSTILE))
    value = raw(tree)
    at = data.draw(st.integers(0, len(value) - 1))
    if way == "cut":
        return value[:at]
    return (
        value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :] if way == "turned" else value
    )


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_entry_breaks_the_fold(task: str, data: st.DataObject) -> None:
    """Values of every wrong kind at every place: nothing raises, and both sides count the same as invalid."""
    spec, dice = make(task), Random(data.draw(st.integers(0, 2**32)))
    values: list[bytes | None] = []
    for entry in journal(spec, dice, data.draw(st.integers(1, 12)), Mix(shadowed=0.6, corrected=0.5, every=HOUR)):
        values += [raw(entry)] * data.draw(st.booleans())
        values += [forged(entry, data)] * data.draw(st.booleans())
    same(spec, values)


def same(spec: PipelineSpec, values: list[bytes | None]) -> None:
    """Observer and recomputation come to the same, figures of quality to something."""
    mine, judged = recompute(spec, list(enumerate(values)), known)
    assert [] == compared(online(spec, values), mine).differences
    quality([judged], terms_of(spec))


PREDICTION: dict[str, Any] = {
    "v": 2, "id": "", "event_time": 10**20, "score": 1.5, "version": "v1/shadow", "label": 7,
    "probabilities": {"late": 1e200}, "flags": [5], "ages": {"weather": 1e300},
}  # fmt: skip
OBSERVATION: dict[str, Any] = {"v": 2, "lookups": [], "shadow": 1}
LABEL: dict[str, Any] = {
    "id": "a" * 257, "value": "never", "time": -1, "at": [0, 2**63], "revision": 2**31, "v": 2,
}  # fmt: skip


def test_each_rule_makes_an_entry_invalid() -> None:
    """One rule broken at a time: counted as invalid, the watermark stays, and the good entries beside them count."""
    spec, dice = make(), Random(1)
    seen, said = observation(spec, "r1", T0, dice), label("r1", "late", T0 + 1)
    bad = [seen | {"prediction": seen["prediction"] | {name: value}} for name, value in PREDICTION.items()]
    bad += [seen | {name: value} for name, value in OBSERVATION.items()]
    bad += [said | {"label": said["label"] | {name: value}} for name, value in LABEL.items()]
    bad += [said | {"at": [-1, 0]}, said | {"sampled": 1}, {"type": "tick", "time": 253_402_300_800_000, "v": 1}]
    bad += [seen | {"record": "a" * 900_000}]
    values = as_bytes([seen, *bad, said])
    same(spec, list(values))
    assert {T0: {"observations": 1, "labels": 1, "matched": 1, "invalid": len(bad)}} == alone(
        spec, [seen, *bad, said]
    ).accounts


def test_the_largest_numbers_are_counted_as_the_limit() -> None:
    """Scores and values that no square of is a number: no warning, no error, and both sides the same."""
    spec, dice = make("regression"), Random(1)
    entries: list[Entry] = []
    for i, (score, value) in enumerate([(1e308, -1e308), (-1e308, 1e308), (1e308, 1e308), (1e200, 0.0)]):
        seen = observation(spec, f"r{i}", T0, dice)
        seen["prediction"] |= {"score": score, "label": score}
        entries += [seen, label(f"r{i}", value, T0 + 1)]
    same(spec, list(as_bytes(entries)))


def test_names_that_nobody_gave_make_no_card_grow() -> None:
    """Flags and groups that there are not are left out of scorecards, or a card would outgrow its message."""
    spec = make()
    seen = observation(spec, "r1", T0, Random(1))
    names = [f"n{i}" for i in range(1_000)]
    seen["prediction"] |= {"flags": ["stale", *names], "ages": {"weather": 1.0} | dict.fromkeys(names, 1.0)}
    (figures,) = alone(spec, [seen]).cards.values()
    named = {name: n for name, n in figures.items() if name.startswith(("flags", "groups"))}
    assert {"flags.stale": 1, "groups.weather.found": 1, "groups.weather.age": 1_000} == named
    same(spec, list(as_bytes([seen])))
