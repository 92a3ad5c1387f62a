"""What is fitted when: storms, replays, what is kept for later, and follow-ups."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.pipeline import PipelineSpec
from shared.core.schedule import Fit, Schedule, ScheduleTerms, asked, due, refitted, schedule_terms

DAY = 86_400_000
T0 = 1_000 * DAY
TERMS = ScheduleTerms(
    cooldown=DAY, alarm_period=7 * DAY, window=60 * DAY, short=20 * DAY, follow_ups=(3 * DAY, 7 * DAY, 14 * DAY)
)


class Played:
    """A retrainer that fits what is due; `refuse` names fits, by place, that the gate does not let through."""

    def __init__(self, terms: ScheduleTerms = TERMS, refuse: Sequence[int] = ()) -> None:
        self.terms, self.refuse = terms, refuse
        self.schedule = Schedule()
        self.fits: list[Fit] = []
        self.why: list[str] = []

    def ask(self, trigger: str, name: str, at: int) -> None:
        """A request comes."""
        self.schedule, fit, why = asked(self.schedule, trigger, name, at, self.terms)
        self.why.append(why)
        self._made(fit, at)

    def until(self, *moments: int) -> None:
        """Event time comes to each of these."""
        for now in moments:
            self.schedule, fit = due(self.schedule, now, self.terms)
            self._made(fit, now)

    def _made(self, fit: Fit | None, at: int) -> None:
        if fit is not None:
            promoted = len(self.fits) not in self.refuse
            self.fits.append(fit)
            self.schedule = refitted(self.schedule, fit, at, self.terms, promoted=promoted)

    def told(self) -> list[tuple[str, float]]:
        """Kind of each fit, and days since the beginning."""
        return [(fit.kind, (fit.at - T0) / DAY) for fit in self.fits]


def _days(begin: float, end: float, step: float = 1.0) -> list[int]:
    return [T0 + round((begin + i * step) * DAY) for i in range(round((end - begin) / step) + 1)]


def test_a_thousand_replayed_requests_give_one_training() -> None:
    """The same request a thousand times, and a thousand others in one minute: one fit, each answered in words."""
    played = Played()
    for i in range(1_000):
        played.ask("schedule", "one", T0 + i)
    for i in range(1_000):
        played.ask("schedule", f"other {i}", T0 + 60 * i)
    assert played.told() == [("clock", 0.0)]
    assert all(played.why[1:])
    assert played.why[1] == "this request was served or is kept already"
    assert "at most one training in 1d" in played.why[1_001 + 5]


def test_drift_that_flaps_gives_one_alarm_a_period() -> None:
    """Alarms every ten seconds for ten minutes: one acts at once, one is kept, the others are answered."""
    played = Played()
    for i in range(60):
        played.ask("errors" if i % 2 else "loss", f"alarm {i}", T0 + i * 10_000)
    assert played.told() == [("alarm", 0.0)]
    assert played.why[1].startswith("kept for 7d") or played.why[1].startswith("kept for 6")
    assert set(played.why[2:]) == {"an alarm is kept already"}


def test_a_request_older_than_the_last_refit_is_answered_by_it() -> None:
    """A topic that is read again from its beginning starts no training."""
    played = Played()
    played.ask("schedule", "new", T0)
    played.ask("errors", "old", T0 - 5 * DAY)
    assert played.told() == [("clock", 0.0)]
    assert played.why[1] == "a refit 5d later answered it"


def test_an_alarm_soon_after_the_clock_waits_for_the_cooldown_only() -> None:
    """The first alarm of a period acts two days after the clock did; inside the cool-down it is kept until its end."""
    played = Played()
    played.ask("schedule", "clock", T0)
    played.ask("errors", "alarm", T0 + 2 * DAY)
    assert played.told() == [("clock", 0.0), ("alarm", 2.0)]
    held = Played(refuse=[0])
    held.ask("schedule", "clock", T0)
    held.ask("errors", "alarm", T0 + DAY // 2)
    held.until(*_days(0.5, 3, 0.25))
    assert held.told()[:2] == [("clock", 0.0), ("alarm", 1.0)]


def test_a_kept_alarm_acts_at_the_end_of_its_period() -> None:
    """A second alarm waits for its time where no refit was let through meanwhile."""
    played = Played(refuse=range(1, 9))
    played.ask("errors", "first", T0)
    played.ask("errors", "second", T0 + 2 * DAY)
    played.until(*_days(2, 10))
    assert played.told() == [("alarm", 0.0), ("follow_up", 3.0), ("alarm", 7.0), ("follow_up", 10.0)]
    assert [fit.cause for fit in played.fits] == ["first", "first", "second", "second"]


def test_a_refit_answers_a_kept_alarm() -> None:
    """The follow-up that is let through knows more than the alarm did: it is kept no longer."""
    played = Played()
    played.ask("errors", "first", T0)
    played.ask("errors", "second", T0 + 2 * DAY)
    played.until(*_days(2, 30))
    assert [fit.cause for fit in played.fits] == ["first"] * 4


def test_an_alarm_is_followed_up_three_times() -> None:
    """At once on the short window, then after 3, 7 and 14 days on the whole one, though no request comes."""
    played = Played()
    played.ask("loss", "alarm", T0)
    played.until(*_days(0, 40))
    assert played.told() == [("alarm", 0.0), ("follow_up", 3.0), ("follow_up", 7.0), ("follow_up", 14.0)]
    assert [fit.window for fit in played.fits] == [20 * DAY, 60 * DAY, 60 * DAY, 60 * DAY]
    assert [fit.number for fit in played.fits] == [0, 1, 2, 3]


def test_any_refit_takes_the_place_of_follow_ups() -> None:
    """A clock's or an operator's refit that was let through cancels those to come; a refused one cancels none."""
    played = Played()
    played.ask("errors", "alarm", T0)
    played.ask("manual", "ann", T0 + 5 * DAY)
    played.until(*_days(6, 30))
    assert played.told() == [("alarm", 0.0), ("manual", 5.0)]
    refused = Played(refuse=[2])
    refused.ask("errors", "alarm", T0)
    refused.until(*_days(1, 4))
    refused.ask("manual", "ann", T0 + 5 * DAY)
    refused.until(*_days(6, 30))
    kinds = ["alarm", "follow_up", "manual", "follow_up", "follow_up"]
    assert refused.told() == list(zip(kinds, [0.0, 3.0, 5.0, 7.0, 14.0], strict=True))


def test_a_refused_alarm_is_followed_up_all_the_same() -> None:
    """Its follow-ups know more than it did."""
    played = Played(refuse=[0])
    played.ask("errors", "alarm", T0)
    played.until(*_days(0, 40))
    assert played.told() == [("alarm", 0.0), ("follow_up", 3.0), ("follow_up", 7.0), ("follow_up", 14.0)]


def test_of_overdue_follow_ups_the_last_is_made() -> None:
    """A retrainer that was away for ten days makes one fit, of what is known now."""
    played = Played()
    played.ask("errors", "alarm", T0)
    played.until(T0 + 10 * DAY, T0 + 13 * DAY, T0 + 15 * DAY)
    assert [(fit.number, (fit.at - T0) // DAY) for fit in played.fits] == [(0, 0), (2, 10), (3, 15)]


def test_what_is_due_stays_due_until_it_is_made() -> None:
    """A retrainer that dies between being told and telling is told the same again."""
    schedule, fit, _ = asked(Schedule(), "errors", "alarm", T0, TERMS)
    assert fit is not None
    schedule = refitted(schedule, fit, T0, TERMS)
    once, first = due(schedule, T0 + 3 * DAY, TERMS)
    twice, again = due(once, T0 + 3 * DAY, TERMS)
    assert first == again == Fit("follow_up", T0 + 3 * DAY, 60 * DAY, "alarm", 1)
    assert once == twice


@pytest.mark.parametrize(("trigger", "kind", "window"), [
    ("errors", "alarm", 20), ("loss", "alarm", 20), ("quality", "clock", 60), ("schedule", "clock", 60),
    ("labels", "clock", 60), ("manual", "manual", 60),
])  # fmt: skip
def test_only_a_rise_learns_from_the_short_window(trigger: str, kind: str, window: int) -> None:
    """A missed goal may stand for ever: it is a fit of the whole window without follow-ups."""
    _, fit, why = asked(Schedule(), trigger, "one", T0, TERMS)
    assert fit == Fit(kind, T0, window * DAY, "one")  # type: ignore[arg-type] # one of them
    assert why == ""


def test_the_file_says_the_terms() -> None:
    """Of defaults: a clock of an eighth of the window, a third of it after an alarm; `all` has a short window, too."""
    plain = _spec()
    assert schedule_terms(plain) == ScheduleTerms(
        DAY, 7 * DAY, 56 * DAY, round(56 * DAY / 3), (3 * DAY, 7 * DAY, 14 * DAY)
    )
    everything = msgspec.structs.replace(plain, retraining=msgspec.structs.replace(plain.retraining, data="all"))
    assert (schedule_terms(everything).window, schedule_terms(everything).short) == (None, round(56 * DAY / 3))


def _spec() -> PipelineSpec:
    return load_pipeline(Path(__file__).parents[2] / "data" / "parcels").spec


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 20_000), st.sampled_from(["errors", "loss", "schedule", "manual", "due", "due"]), st.booleans()
    ),
    max_size=60,
)


@given(EVENTS)
def test_whatever_comes_trainings_keep_their_distance(events: list[tuple[int, str, bool]]) -> None:
    """Between two requests that are acted on lies the cool-down, between two alarms the alarm period."""
    schedule, now, made = Schedule(), T0, list[Fit]()
    for i, (minutes, what, promoted) in enumerate(events):
        now += minutes * 60_000
        if what == "due":
            schedule, fit = due(schedule, now, TERMS)
        else:
            schedule, fit, why = asked(schedule, what, f"r{i}", now, TERMS)
            assert (fit is None) == bool(why)
        if fit is not None:
            made.append(fit)
            schedule = refitted(schedule, fit, now, TERMS, promoted=promoted)
        assert msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule) == schedule
    acted = [fit.at for fit in made if fit.kind != "follow_up"]
    alarms = [fit.at for fit in made if fit.kind == "alarm"]
    assert all(b - a >= TERMS.cooldown for a, b in pairwise(acted))
    assert all(b - a >= TERMS.alarm_period for a, b in pairwise(alarms))
