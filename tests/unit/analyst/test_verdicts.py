"""A verdict that stands is said in the words of what held it up, not of what was found since."""

from services.monitor.analyst.findings import Finding, Level
from services.monitor.analyst.policy_state import DAY, PolicyTerms, State
from services.monitor.analyst.verdicts import judged
from shared.core.monitor_records import Verdict

TERMS, T0 = PolicyTerms(), 1_000 * DAY
OUTAGE = "12 labels came, 972 usually do with 1,100 observations"
USUAL = "878 labels came, 972 usually do with 1,100 observations"
LASTS = "alarm until this has lasted for 86,400 s of event time"


def _say(*found: tuple[float, Level | None, str]) -> list[Verdict]:
    """The verdicts on a label outage, look by look: (days since the first one, level, words)."""
    state, said = State(version="v1"), list[Verdict]()
    for days, level, words in found:
        now = T0 + int(days * DAY)
        finding = Finding(
            trigger="label_outage", metric="label_outage", level=level, n=900, window=(now - DAY, now), words=words
        )
        state, verdicts = judged(State(version="v1", now=now, standing=state.standing), [finding], TERMS)
        said += verdicts
    return said


def test_a_standing_verdict_has_the_words_that_held_it_up() -> None:
    """878 labels are no outage: while the alarm still stands its own words come first, those of now behind `now`."""
    first, standing, over = _say((0, "alarm", OUTAGE), (0.5, "ok", USUAL), (1.5, "ok", USUAL))
    assert (first.verdict, first.reasons) == ("alarm", (OUTAGE,))
    assert (standing.verdict, standing.reasons) == ("alarm", (OUTAGE, f"now: {USUAL}", LASTS))
    assert (over.verdict, over.reasons) == ("ok", (USUAL,))


def test_they_are_the_words_of_when_it_was_held_up_last() -> None:
    """What holds an alarm up again has newer words; what is unknown holds nothing up and ends nothing."""
    newer = "3 labels came, 972 usually do with 1,100 observations"
    said = _say((0, "alarm", OUTAGE), (0.2, "alarm", newer), (0.4, None, "unknown: too few"), (0.6, "warn", USUAL))
    assert [one.reasons[0] for one in said] == [OUTAGE, newer, newer, newer]
    assert said[2].reasons == (newer, "now: unknown: too few")
    assert {one.verdict for one in said} == {"alarm"}


def test_what_is_in_order_or_unknown_is_said_as_found() -> None:
    """Where nothing stands, there is nothing but the present to tell of."""
    said = _say((0, "ok", USUAL), (0.5, None, "unknown: too few"))
    assert [(one.verdict, one.reasons) for one in said] == [("ok", (USUAL,)), ("ok", ("unknown: too few",))]
