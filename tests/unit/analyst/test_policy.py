"""One decision: verdicts that hold, one request a cool-down, and never one for what is a fault of the data."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitor.analyst.asking import request_id
from services.monitor.analyst.findings import Finding, Level, Trigger
from services.monitor.analyst.policy import step
from services.monitor.analyst.policy_state import DAY, Decision, Evidence, PolicyTerms, State
from services.monitor.analyst.spoiled import SPOILING, faults
from shared.core.monitor_records import RetrainRequest

TERMS = PolicyTerms(every=None)
T0, MINUTE = 1_000 * DAY, 60_000
METRIC: dict[str, str] = {"quality": "accuracy", "errors": "rise_of_errors", "estimate": "estimated_accuracy"}


def _find(trigger: Trigger, level: Level | None = "alarm", at: int = T0, **more: object) -> Finding:
    """A finding of the day before a moment."""
    told = {"metric": METRIC.get(trigger, trigger), "n": 5_000, "window": (at - DAY, at), "words": trigger, **more}
    return Finding(trigger=trigger, level=level, **told)  # type: ignore[arg-type] # by name


def _look(now: int, *findings: Finding, version: str = "v1", **more: object) -> Evidence:
    told = {"pipeline": "flights", "now": now, "findings": findings, "version": version, **more}
    return msgspec.convert(msgspec.to_builtins(told), Evidence)


def _run(looks: list[Evidence], terms: PolicyTerms = TERMS) -> tuple[State, list[RetrainRequest], list[Decision]]:
    state, made = State(), list[Decision]()
    for look in looks:
        made.append(step(state, look, terms))
        state = made[-1].state
    return state, [one.request for one in made if one.request is not None], made


@pytest.mark.parametrize("fault", sorted(SPOILING))
def test_a_fault_alarms_and_never_asks(fault: Trigger) -> None:
    """By itself each alarms as what it is, however long it lasts; nothing is asked for."""
    _, requests, made = _run([_look(T0 + i * DAY, _find(fault, at=T0 + i * DAY)) for i in range(30)])
    assert requests == []
    assert {v.verdict for one in made for v in one.verdicts} == {"alarm"}


@pytest.mark.parametrize("fault", sorted(SPOILING))
@pytest.mark.parametrize("trigger", ["errors", "quality", "features"])
def test_what_a_fault_spoiled_asks_for_nothing(fault: Trigger, trigger: Trigger) -> None:
    """Rising errors in the same span are the fault's doing: no request then, nor later when the fault is over."""
    terms = PolicyTerms(every=None, drift="retrain")
    during = [_look(T0, _find(fault), _find(trigger, block="0/1"))]
    after = [_look(T0 + i * DAY, _find(fault, "ok", T0 + i * DAY), _find(trigger, block="0/1")) for i in (1, 2, 5)]
    _, requests, made = _run([*during, *after], terms)
    assert requests == []
    words = [reason for v in made[-1].verdicts for reason in v.reasons if v.trigger == trigger]
    assert any("asks for nothing" in word for word in words)


def test_a_fault_found_later_takes_a_kept_wish_back() -> None:
    """A wish that waits for the cool-down's end is forgotten when its span turns out to be spoiled."""
    looks = [
        _look(T0, manual="first"),
        *(_look(T0 + i * DAY, _find("errors", at=T0 + i * DAY, block="0/9")) for i in (1, 2)),
        _look(T0 + 3 * DAY, _find("conflicts", at=T0 + DAY)),
        *(_look(T0 + i * DAY, _find("conflicts", "ok", T0 + i * DAY)) for i in (4, 5, 8, 9)),
    ]
    before, _, _ = _run(looks[:3])
    assert [wish.trigger for wish in before.kept] == ["errors"]
    state, requests, _ = _run(looks)
    assert [one.trigger for one in requests] == ["manual"]
    assert state.kept == ()


def test_labels_of_a_spoiled_day_may_come_a_delay_later() -> None:
    """Errors are placed by when labels come: a unit jump reaches them later, bad labels reach quality before."""
    jump, flip = ("unit_jump", 100, 200), ("flipped", 100, 200)
    assert list(faults([jump], "errors", (240, 260), 50)) == ["unit_jump"]
    assert list(faults([jump], "quality", (240, 260), 50)) == []
    assert list(faults([flip], "quality", (60, 80), 50)) == ["flipped"]
    assert list(faults([flip], "errors", (60, 80), 50)) == []


def test_no_clock_asks_while_a_fault_stands() -> None:
    """A weekly schedule that falls into a label outage asks when the outage is over."""
    looks = [
        _look(T0 + i * DAY, _find("label_outage", "alarm" if 5 <= i < 10 else "ok", T0 + i * DAY)) for i in range(14)
    ]
    _, requests, _ = _run(looks, PolicyTerms())
    assert [(one.trigger, (one.at - T0) // DAY) for one in requests] == [("schedule", 10)]


def test_an_operator_may_ask_while_a_fault_stands() -> None:
    """Somebody who knows of the outage is not stopped by it."""
    _, requests, _ = _run([_look(T0, _find("label_outage"), manual="ann-1")])
    assert [(one.trigger, one.block) for one in requests] == [("manual", "ann-1")]


def test_missing_unseen_and_out_of_range_never_ask() -> None:
    """They alarm, and that is all."""
    kinds: list[Trigger] = ["missing", "unseen", "out_of_range", "estimate"]
    _, requests, made = _run([_look(T0, *(_find(kind) for kind in kinds))])
    assert requests == []
    assert {v.verdict for v in made[0].verdicts} == {"alarm"}


def test_unknown_changes_nothing() -> None:
    """A window without labels neither raises an alarm nor ends one, and its value is none."""
    unknown = _find("quality", None, T0 + 9 * DAY, n=0)
    _, _, made = _run([_look(T0, unknown), _look(T0, _find("quality")), _look(T0 + 9 * DAY, unknown)])
    assert [(v.verdict, v.value) for one in made for v in one.verdicts] == [
        ("ok", None),
        ("alarm", None),
        ("alarm", None),
    ]


def test_few_labels_are_unknown() -> None:
    """Below the minimum a missed goal is no missed goal."""
    _, requests, made = _run([_look(T0, _find("quality", n=199, value=0.1))])
    assert requests == []
    assert (made[0].verdicts[0].verdict, made[0].verdicts[0].value) == ("ok", None)


def test_a_rise_asks_once_it_is_confirmed() -> None:
    """It alarms at once; it asks, one time, when later labels say the same."""
    looks = [_look(T0 + i, _find("errors", block="0/7", confirmed=i >= 3)) for i in range(5)]
    _, requests, made = _run(looks)
    assert [one.verdicts[0].verdict for one in made] == ["alarm"] * 5
    assert [(one.at - T0, one.id) for one in requests] == [(3, request_id("v1", "errors", "0/7"))]


def test_the_same_evidence_changes_nothing() -> None:
    """Every look twice: the same states and verdicts, and no request from the second."""
    state = State()
    for i in range(40):
        errors = _find("errors", "alarm" if i % 9 < 3 else "ok", T0 + i * DAY, block=f"0/{i // 9}")
        quality = _find("quality", "alarm" if i % 7 < 4 else "warn", T0 + i * DAY)
        fault = _find("schema", "alarm" if i % 20 == 11 else "ok", T0 + i * DAY)
        look = _look(T0 + i * DAY, errors, quality, fault, labels=i * 900, manual="x" if i == 30 else "")
        terms = PolicyTerms(labels=4_000, cooldown=(i % 3) * DAY)
        first = step(state, look, terms)
        again = step(first.state, look, terms)
        assert (again.state, again.verdicts, again.request) == (first.state, first.verdicts, None)
        state = first.state


LEVELS = st.sampled_from(["ok", "warn", "alarm", None])
TRIGGERS: list[Trigger] = ["errors", "quality", "features", "estimate", "label_outage", "unit_jump", "missing"]


@given(st.lists(st.tuples(st.lists(LEVELS, min_size=7, max_size=7), st.integers(-DAY, 3 * DAY)), max_size=25))
@settings(max_examples=60, deadline=None)
def test_whatever_comes_one_request_a_cooldown(looks: list[tuple[list[Level | None], int]]) -> None:
    """Any evidence, clocks that jump back included: requests are a cool-down apart, ids differ, repeats do nothing."""
    terms, state, now, asked = PolicyTerms(drift="retrain", labels=1_000), State(), T0, list[RetrainRequest]()
    for i, (levels, later) in enumerate(looks):
        now += later
        found = [_find(t, level, now, block=str(i)) for t, level in zip(TRIGGERS, levels, strict=True)]
        look = _look(now, *found, labels=i * 300)
        first = step(state, look, terms)
        again = step(first.state, look, terms)
        assert (again.state, again.request) == (first.state, None)
        asked += [first.request] if first.request is not None else []
        state = msgspec.json.decode(msgspec.json.encode(first.state), type=State)
        assert state == first.state
    assert all(b.at - a.at >= terms.cooldown for a, b in pairwise(asked))
    assert len({one.id for one in asked}) == len(asked)


@pytest.mark.parametrize(("cooldown", "most"), [(7 * DAY, 1), (2 * MINUTE, 5)])
def test_a_storm_asks_once_a_cooldown(cooldown: int, most: int) -> None:
    """Drift that comes and goes every ten seconds for ten minutes: one request a cool-down, one alarm that stays."""
    terms = PolicyTerms(every=None, drift="retrain", cooldown=cooldown)
    looks = [
        _look(
            T0 + i * 10_000, _find("features", "alarm" if i % 2 == 0 else "ok", T0 + i * 10_000), _find("quality", "ok")
        )
        for i in range(60)
    ]
    _, requests, made = _run(looks, terms)
    assert len(requests) == most
    assert {v.verdict for one in made for v in one.verdicts if v.trigger == "features"} == {"warn"}


def test_features_page_only_beside_a_move() -> None:
    """Alone they warn, beside worse errors or a worse estimate they alarm; they ask only where that is wished."""
    moves = {
        "alone": _find("quality", "ok"), "errors": _find("errors"), "estimate": _find("estimate", "warn"),
    }  # fmt: skip
    levels = {name: _run([_look(T0, _find("features"), move)])[2][0].verdicts[-1] for name, move in moves.items()}
    assert {n: v.verdict for n, v in levels.items()} == {"alone": "warn", "errors": "alarm", "estimate": "alarm"}
    for drift, asked in (("show", []), ("retrain", ["features"])):
        terms = PolicyTerms(every=None, drift=drift)  # type: ignore[arg-type] # one of its two words
        assert [one.trigger for one in _run([_look(T0, _find("features"))], terms)[1]] == asked


def test_an_alarm_inside_the_cooldown_is_kept() -> None:
    """A rise on the second and third day that is over on the fourth is asked for on the eighth, under its own name."""
    looks = [_look(T0, _find("quality"))]
    looks += [
        _look(T0 + i * DAY, _find("quality", "ok"), _find("errors", at=T0 + i * DAY, block="3/50")) for i in (1, 2)
    ]
    looks += [_look(T0 + i * DAY, _find("errors", "ok", T0 + i * DAY)) for i in range(3, 12)]
    _, requests, _ = _run(looks)
    assert [(one.trigger, (one.at - T0) // DAY) for one in requests] == [("quality", 0), ("errors", 7)]
    assert requests[1].block == "3/50"


def test_what_still_stands_asks_again() -> None:
    """A goal that is missed for three weeks asks once a cool-down, each time under another id."""
    looks = [_look(T0 + i * DAY, _find("quality", at=T0 + i * DAY)) for i in range(21)]
    _, requests, _ = _run(looks)
    assert [(one.at - T0) // DAY for one in requests] == [0, 7, 14]
    assert len({one.id for one in requests}) == 3


def test_a_new_version_begins_anew_inside_the_same_cooldown() -> None:
    """Alarms and kept wishes of the old version are no matter of the new one; the cool-down goes on."""
    looks = [_look(T0, _find("quality"))]
    looks += [_look(T0 + i * DAY, _find("errors", at=T0 + i * DAY, block="0/1")) for i in (1, 2)]
    looks += [_look(T0 + i * DAY, _find("errors", "ok"), version="v2") for i in range(3, 9)]
    looks += [_look(T0 + i * DAY, _find("errors", at=T0 + i * DAY, block="0/8"), version="v2") for i in (9, 10)]
    assert [wish.trigger for wish in _run(looks[:3])[0].kept] == ["errors"]
    state, requests, _ = _run(looks)
    assert [(one.version, one.trigger) for one in requests] == [("v1", "quality"), ("v2", "errors")]
    assert state.started == T0 + 3 * DAY


def test_clock_and_count_and_operator_go_through_the_same_cooldown() -> None:
    """Weekly without evidence; by labels when there are enough; an operator's wish waits for the end, never lost."""
    _, weekly, _ = _run([_look(T0 + i * DAY) for i in range(22)], PolicyTerms())
    assert [(one.trigger, (one.at - T0) // DAY) for one in weekly] == [
        ("schedule", 7),
        ("schedule", 14),
        ("schedule", 21),
    ]
    counting = [_look(T0 + i * DAY, labels=i * 1_000) for i in range(22)]
    _, counted, _ = _run(counting, PolicyTerms(every=None, labels=9_000))
    assert [(one.trigger, (one.at - T0) // DAY) for one in counted] == [("labels", 9), ("labels", 18)]
    manual = [_look(T0 + i * DAY, manual={0: "a", 3: "b"}.get(i, "")) for i in range(22)]
    _, by_hand, _ = _run(manual)
    assert [(one.block, (one.at - T0) // DAY) for one in by_hand] == [("a", 0), ("b", 7)]


def test_reasons_are_ranked() -> None:
    """What asks comes first, then what alarms, the furthest out before the others; what is in order is left out."""
    look = _look(
        T0, _find("missing", weight=2.0), _find("unseen", "warn", weight=9.0), _find("out_of_range", "ok"),
        _find("estimate", weight=5.0), _find("quality", value=0.61, low=0.6, high=0.62, threshold=0.7),
        offsets={"scorecards": 12, "errors": 7},
    )  # fmt: skip
    request = _run([look])[1][0]
    assert [v.metric for v in request.reasons] == ["accuracy", "estimated_accuracy", "missing", "unseen"]
    assert (request.reasons[0].value, request.reasons[0].threshold) == (0.61, 0.7)
    assert (request.trigger, request.version, request.offsets) == ("quality", "v1", {"scorecards": 12, "errors": 7})


def test_verdicts_fall_only_when_nothing_held_them_up_for_a_while() -> None:
    """Down for an hour is still an alarm, with the reason; down for a day is not."""
    times = (0, DAY // 24, DAY // 2, 2 * DAY)
    levels: tuple[Level, ...] = ("alarm", "ok", "alarm", "ok")
    looks = [_look(T0 + t, _find("missing", level)) for t, level in zip(times, levels, strict=True)]
    _, _, made = _run(looks)
    assert [one.verdicts[0].verdict for one in made] == ["alarm", "alarm", "alarm", "ok"]
    assert made[1].verdicts[0].reasons == (
        "missing",
        "now: missing",
        "alarm until this has lasted for 86,400 s of event time",
    )
    assert [one.verdicts[0].since - T0 for one in made] == [0, 0, 0, 2 * DAY]


def test_the_clock_begins_with_event_time() -> None:
    """Looks before anything was heard of a version do not let the clock run since 1970."""
    terms = PolicyTerms(every=7 * DAY)
    state, requests, _ = _run([_look(0), _look(0), _look(T0), _look(T0 + 7 * DAY - 1)], terms)
    assert (requests, state.started) == ([], T0)
    _, requests, _ = _run([_look(0), _look(T0), _look(T0 + 7 * DAY)], terms)
    assert [one.trigger for one in requests] == ["schedule"]


def test_an_alarm_after_the_clock_waits_for_the_cooldown_only() -> None:
    """The clock asks on day 7; a rise two days later asks at once, the next one only a period after that."""
    terms = PolicyTerms(cooldown=DAY, alarm_period=7 * DAY, every=7 * DAY)
    rises = {9: "0/1", 11: "0/2"}
    looks = [
        _look(T0 + i * DAY, _find("errors", "alarm" if i in rises else "ok", T0 + i * DAY, block=rises.get(i, "")))
        for i in range(17)
    ]
    _, requests, _ = _run(looks, terms)
    assert [(one.trigger, (one.at - T0) // DAY) for one in requests] == [("schedule", 7), ("errors", 9), ("errors", 16)]


def test_the_clock_asks_while_an_alarm_is_kept() -> None:
    """A new version answers the kept alarm; where none comes, the alarm asks when its period is over."""
    terms = PolicyTerms(cooldown=DAY, alarm_period=20 * DAY, every=7 * DAY)

    def looks(swap: int | None) -> list[Evidence]:
        alarms = {0: "0/1", 3: "0/2"}
        return [
            _look(
                T0 + i * DAY, _find("errors", "alarm" if i in alarms else "ok", T0 + i * DAY, block=alarms.get(i, "")),
                version="v2" if swap is not None and i > swap else "v1",
            )
            for i in range(22)
        ]  # fmt: skip

    _, kept, _ = _run(looks(None), terms)
    assert [(one.trigger, (one.at - T0) // DAY) for one in kept] == [
        ("errors", 0), ("schedule", 7), ("schedule", 14), ("errors", 20),
    ]  # fmt: skip
    _, answered, _ = _run(looks(8), terms)
    assert "errors" not in [one.trigger for one in answered[1:]]
