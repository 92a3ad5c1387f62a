"""Faults of data: seen by what they are, and not seen in what is none."""

from services.monitor.analyst.faults import FaultTerms, Past, of_entries, of_labels, of_records
from services.monitor.analyst.findings import Finding
from shared.core.monitor_records import AccountSums, FeatureCounts, Sums
from shared.core.reference import FeatureProfile, Reference

TERMS, WINDOW = FaultTerms(), (0, 86_400_000)
N = 1_000
EVEN = (100,) * 10
REFERENCE = Reference(
    N,
    {
        "temp": FeatureProfile(tuple(float(i) for i in range(9)), counts=EVEN, missing=20),
        "rain": FeatureProfile((0.0,), counts=(900, 100)),
        "carrier": FeatureProfile(words=("A", "B"), counts=(600, 400, 0)),
    },
    FeatureProfile((0.5,), counts=(5, 5)),
    (0.5, 0.5),
)


def _sums(temp: FeatureCounts, carrier: FeatureCounts | None = None, n: int = N, **flags: int) -> Sums:
    carrier = carrier or FeatureCounts((600, 400, 0))
    return Sums(n=n, features={"temp": temp, "rain": FeatureCounts((900, 100)), "carrier": carrier}, flags=flags)


USUAL = [_sums(FeatureCounts(EVEN))] * 3


def _records(now: Sums, past: list[Sums] = USUAL) -> dict[str, Finding]:
    return {one.trigger: one for one in of_records(now, Past(past), REFERENCE, WINDOW, TERMS)}


def _levels(found: dict[str, Finding]) -> dict[str, str | None]:
    return {trigger: one.level for trigger, one in found.items()}


CALM = dict.fromkeys(("missing", "unseen", "out_of_range", "schema", "unit_jump"), "ok")


def test_too_little_is_unknown() -> None:
    """A hundred records, or none: nothing is said of any fault, nor of labels that nobody expected yet."""
    assert set(_levels(_records(Sums(n=100)))) == set(CALM)
    assert set(_levels(_records(Sums(n=100))).values()) == {None}
    assert {one.level for one in of_labels(AccountSums(), [], WINDOW, TERMS)} == {None}
    assert of_entries(AccountSums(), WINDOW, TERMS).level is None


def test_a_version_nobody_knows_has_no_unit_jump_and_no_end_of_it() -> None:
    """Without a reference profile features are not judged; the flags of the scorer still are."""
    found = {one.trigger: one.level for one in of_records(Sums(n=N), Past(USUAL), None, WINDOW, TERMS)}
    assert found == {"missing": None, "unseen": None, "out_of_range": "ok", "schema": None, "unit_jump": None}


def test_what_is_as_in_the_reference_is_no_fault() -> None:
    """Two per cent missing were missing in training too."""
    assert _levels(_records(_sums(FeatureCounts(EVEN, 20)))) == CALM


def test_what_some_windows_of_the_training_lacked_is_usual() -> None:
    """Gusts are missing on calm days, in training as now; without a reference nobody knows what is usual."""
    calm = _sums(FeatureCounts((30,) * 10, 700))
    found = {one.trigger: one for one in of_records(calm, Past(USUAL, [calm, *USUAL]), REFERENCE, WINDOW, TERMS)}
    assert (found["missing"].level, _records(calm)["missing"].level) == ("ok", "alarm")
    (nobody,) = (one for one in of_records(calm, Past(USUAL), None, WINDOW, TERMS) if one.trigger == "missing")
    assert (nobody.level, nobody.words) == (None, "unknown: it is not known what is usual")


def test_missing_and_unseen_are_told_apart() -> None:
    """An absent value and an unknown word warn, and alarm where there are many, by the feature's name."""
    missing = _records(_sums(FeatureCounts(EVEN, 150)))
    assert _levels(missing) == CALM | {"missing": "warn"}
    assert missing["missing"].words.startswith("temp: 15.0% missing, at most 2.0% in the reference")
    unseen = _records(_sums(FeatureCounts(EVEN), FeatureCounts((300, 200, 0), 0, 500)))
    assert _levels(unseen) == CALM | {"unseen": "alarm"}
    assert unseen["unseen"].words.startswith("carrier")


def test_out_of_range_is_what_the_scorer_flagged() -> None:
    """Three of ten records beyond the bounds of their fields: an alarm."""
    assert _levels(_records(_sums(FeatureCounts(EVEN), out_of_range=300))) == CALM | {"out_of_range": "alarm"}


def test_records_that_lack_everything_are_a_schema_fault() -> None:
    """A tenth of the records cannot be read at all: not a missing feature, but another schema."""
    lacking = {"temp": FeatureCounts((90,) * 10, 120), "rain": FeatureCounts((810, 90), 100)}
    found = _levels(_records(Sums(n=N, features=lacking | {"carrier": FeatureCounts((540, 360, 0), 100)})))
    assert found["schema"] == "alarm"
    assert of_entries(AccountSums(observations=900, invalid=100), WINDOW, TERMS).level == "alarm"
    assert of_entries(AccountSums(observations=999, invalid=1), WINDOW, TERMS).level == "ok"


def test_another_unit_is_a_jump_to_one_end() -> None:
    """Degrees of the other scale: from all ten bins to the last one between two windows."""
    jumped = FeatureCounts((0,) * 9 + (1_000,))
    found = _records(_sums(jumped))
    assert _levels(found) == CALM | {"unit_jump": "alarm"}
    assert "temp" in found["unit_jump"].words


def test_a_jump_lasts_until_it_is_over() -> None:
    """It began in the middle of a day, and nothing becomes usual by lasting: each day it is one, until it is back."""
    half, whole = _sums(FeatureCounts((30,) * 9 + (730,))), _sums(FeatureCounts((0,) * 9 + (1_000,)))
    past = [*USUAL, half]
    for _ in range(20):
        assert _records(whole, past)["unit_jump"].level == "alarm"
        past.append(whole)
    assert _records(half, past)["unit_jump"].level == "ok"
    assert _records(USUAL[0], [*past, half])["unit_jump"].level == "ok"


def test_what_training_had_is_no_jump() -> None:
    """At night all records lie at one end, as they did in the reference's panes."""
    night = _sums(FeatureCounts((1_000,) + (0,) * 9))
    past = Past(USUAL, [night])
    levels = {one.trigger: one.level for one in of_records(night, past, REFERENCE, WINDOW, TERMS)}
    assert levels["unit_jump"] == "ok"


def test_a_season_is_no_jump() -> None:
    """Nearly all in the last bin, after weeks in which that grew: summer. A constant feature never jumps either."""
    spring = [_sums(FeatureCounts(tuple([(N - k) // 9] * 9 + [k]))) for k in (100, 300, 600, 900)]
    summer = _sums(FeatureCounts((0,) * 9 + (1_000,)))
    assert _records(summer, [*USUAL, *spring])["unit_jump"].level == "ok"
    dry = Sums(n=N, features={"rain": FeatureCounts((1_000, 0))})
    assert _records(dry)["unit_jump"].level == "ok"


def _label_levels(now: AccountSums, past: list[AccountSums]) -> list[str | None]:
    return [one.level for one in of_labels(now, past, WINDOW, TERMS)]


def test_labels_that_stay_away_are_an_outage() -> None:
    """A tenth of the usual labels with the usual observations; fewer of both are a quiet day."""
    usual = [AccountSums(observations=5_000, labels=4_000, conflicting=4)] * 5
    assert _label_levels(AccountSums(observations=5_000, labels=400), usual) == ["alarm", "ok"]
    assert _label_levels(AccountSums(observations=5_000), usual) == ["alarm", None]
    assert _label_levels(AccountSums(observations=500, labels=380), usual) == ["ok", "ok"]
    assert _label_levels(AccountSums(observations=5_000, labels=400), usual[:2]) == [None, "ok"]


def test_a_flood_of_conflicts_is_one() -> None:
    """A tenth of the labels contradict others: an alarm, unless that is how it always is."""
    flood = AccountSums(observations=5_000, labels=4_000, conflicting=400)
    assert _label_levels(flood, [AccountSums(observations=5_000, labels=4_000)] * 3) == ["ok", "alarm"]
    assert _label_levels(flood, [flood] * 3) == ["ok", "ok"]
