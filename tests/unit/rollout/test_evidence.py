"""Ten bad challengers that a gate may let through: which signal catches each one, with labels and before any comes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.retrainer.rollout.cards import Cards
from services.retrainer.rollout.compare import limit
from services.retrainer.rollout.evidence import Evidence, evidence, psi
from services.retrainer.rollout.vitals import Vitals
from shared.core.monitor_records import Account, FeatureCounts, PairCounts, Scorecard, SliceCounts, Sums
from shared.core.pipeline_loop import RolloutSpec
from shared.core.records import BundleRef, Heartbeat, Rollout
from shared.core.scorecards import SCALE
from tests.support.cards import binary

Floats = NDArray[np.float64]
HOUR, HOURS, PARTITIONS, N = 3_600_000, 24, 4, 120
A, B = (BundleRef(v, f"http://m/{v}", v * 64) for v in ("1", "2"))
CANARY = Rollout("p", 2, A, "active", challenger=B, mode="canary", share=0.3, plan="trial")
SHADOW = msgspec.structs.replace(CANARY, mode="shadow", share=0.0)
BINS = np.arange(1, 10) / 10


@dataclass(frozen=True)
class World:
    """Records of a cell: what is true of each, what a good model makes of it, and who flies."""

    true: Floats
    good: Floats
    hub: NDArray[np.bool_]
    late: NDArray[np.bool_]


def world(dice: np.random.Generator, n: int) -> World:
    """A rare class (about 22 %); hours differ, so cells do."""
    hour = dice.normal(0, 0.4)
    logit = dice.normal(-1.6, 1.2, n) + hour
    true = 1 / (1 + np.exp(-logit))
    good = 1 / (1 + np.exp(-(logit + dice.normal(0, 0.3, n))))
    return World(true, good, dice.random(n) < 0.3, dice.random(n) < true)


def sharper(p: Floats, by: float) -> Floats:
    """The same order, by so much surer."""
    return 1 / (1 + ((1 - p) / p) ** by)


Model = Callable[[World, np.random.Generator], Floats]
GOOD: Model = lambda w, dice: np.clip(w.good + dice.normal(0, 0.01, len(w.good)), 0.001, 0.999)  # noqa: E731 - a row
BAD: dict[str, Model] = {
    "swapped": lambda w, _: 1 - w.good,
    "biased on a slice": lambda w, _: np.where(w.hub, np.clip(w.good + 0.25, 0, 0.99), w.good),
    "stale features": lambda w, dice: dice.permutation(w.good),
    "overconfident": lambda w, _: sharper(w.good, 3.0),
    "constant": lambda w, _: np.full(len(w.good), 0.22),
    "wrong units": lambda w, _: np.clip(w.good * 0.05, 0.001, 1),
    "shuffled labels": lambda w, dice: np.clip(dice.normal(0.22, 0.03, len(w.good)), 0.01, 0.99),
}


def profile(scores: Floats) -> tuple[int, ...]:
    """Counts over the bins of a reference."""
    return tuple(int(n) for n in np.bincount(np.searchsorted(BINS, scores), minlength=10))


def card(scores: Floats, w: World, window: int, partition: int, *, labels: bool, **who: Any) -> bytes:
    """What the observer publishes of these predictions."""
    sums = binary(scores.tolist(), w.late.tolist())
    loss = -np.log(np.where(w.late, scores, 1 - scores))
    cut = {}
    for name, of in (("hub=yes", w.hub), ("hub=no", ~w.hub)):
        cut[name] = SliceCounts(int(of.sum()), int(of.sum()) * labels, 0, round(float(loss[of].sum()) * SCALE) * labels)
    more: dict[str, Any] = {"slices": cut, "answers": FeatureCounts(profile(scores))}
    if not labels:
        more |= {"labelled": 0, "loss": 0}
    sums = msgspec.structs.replace(sums, **more, **who.pop("sums", {}))
    told = Scorecard(
        window=window,
        span=HOUR,
        partition=partition,
        rate=1_000_000,
        watermark=window + HOUR,
        offset=1,
        sums=sums,
        **who,
    )
    return msgspec.json.encode(told)


def played(model: Model, *, labels: bool = True, seed: int = 0, mode: Rollout = CANARY, hours: int = HOURS) -> Cards:
    """A day of both versions, each on keys of its own (of a shadow: on the same records)."""
    dice, cards, values = np.random.default_rng(seed), Cards(), list[bytes]()
    for hour in range(hours):
        for p in range(PARTITIONS):
            w = world(dice, N)
            mine, rest = (w, w) if mode.mode == "shadow" else (_part(w, slice(0, N // 3)), _part(w, slice(N // 3, N)))
            theirs = rest.good
            values.append(card(theirs, rest, hour * HOUR, p, labels=labels, version="1"))
            scores = model(mine, dice)
            more: dict[str, Any] = {}
            if mode.mode == "shadow":
                more = {"shadow": True, "sums": _pairs(scores, theirs, w, labels=labels)}
            values.append(card(scores, mine, hour * HOUR, p, labels=labels, version="2", **more))
    cards.take(values)
    return cards


def _part(w: World, rows: slice) -> World:
    return World(w.true[rows], w.good[rows], w.hub[rows], w.late[rows])


def _pairs(scores: Floats, theirs: Floats, w: World, *, labels: bool) -> dict[str, Any]:
    if not labels:
        return {}
    ours, other = (-np.log(np.where(w.late, s, 1 - s)) for s in (scores, theirs))
    d = ours - other
    pair = PairCounts(n=len(d), loss=round(float(d.sum()) * SCALE), loss_squared=round(float((d * d).sum()) * SCALE))
    return {"pairs": {"1": pair}}


def seen(model: Model, own: Model | None = None, **how: Any) -> set[str]:
    """The signals that a model gives; `own` is what it was like when it was judged, if that was different."""
    dice = np.random.default_rng(99)
    w = world(dice, 5_000)
    references = {"1": profile(w.good), "2": profile((own or model)(w, dice))}
    mode = how.get("mode", CANARY)
    found = evidence(RolloutSpec(), mode, played(model, **how), Vitals(), references)
    return {signal.name for signal in found.bad}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mode", [CANARY, SHADOW], ids=["canary", "shadow"])
def test_a_good_challenger_gives_no_signal(seed: int, mode: Rollout) -> None:
    """A refit that is as good as the champion is left alone, with labels and without."""
    assert seen(GOOD, seed=seed, mode=mode) == set()
    assert seen(GOOD, seed=seed, mode=mode, labels=False) == set()


@pytest.mark.parametrize(
    ("case", "labelled", "unlabelled"),
    [
        ("swapped", {"answers", "quality", "slice"}, {"answers"}),
        ("biased on a slice", {"quality", "slice"}, set()),
        ("stale features", {"quality", "slice"}, set()),
        ("overconfident", {"quality", "slice"}, set()),
        ("constant", {"answers", "quality", "slice"}, {"answers"}),
        ("wrong units", {"answers", "quality", "slice"}, {"answers"}),
        ("shuffled labels", {"answers", "quality", "slice"}, {"answers"}),
    ],
)
@pytest.mark.parametrize("mode", [CANARY, SHADOW], ids=["canary", "shadow"])
def test_what_a_bad_challenger_is_caught_by(case: str, labelled: set[str], unlabelled: set[str], mode: Rollout) -> None:
    """With labels each of them is caught by its loss; without, only those whose answers look wrong."""
    assert seen(BAD[case], mode=mode) >= {"quality"} & labelled
    assert seen(BAD[case], mode=mode) <= labelled | {"answers"}
    assert unlabelled == seen(BAD[case], mode=mode, labels=False)


def test_a_version_that_answers_otherwise_than_when_it_was_judged_needs_no_labels() -> None:
    """Overconfident only since it was judged (a broken export): its own reference tells, before any label."""
    assert seen(lambda w, _: sharper(w.good, 6.0), own=GOOD, labels=False) == {"answers"}


def vitals(*beats: dict[str, Any], step_ms: int = 5_000) -> Vitals:
    """Heartbeats of one worker, one after the other."""
    found = Vitals()
    found.begin("2")
    for i, says in enumerate(beats):
        now = (i + 1) * step_ms
        found.take([Heartbeat("scorer-0", now, (0,), **says)], now)
        found.leak()
    return found


def told(found: Vitals, spec: RolloutSpec | None = None) -> Evidence:
    """What these heartbeats alone say of version 2."""
    return evidence(spec or RolloutSpec(), CANARY, Cards(), found, {})


def test_not_a_number_after_a_while() -> None:
    """A long good past does not hide what fails now; what both versions refuse is the records' fault."""
    long = {"scored": {"2": 1_000_000, "1": 1_000_000}, "rejects": {}}
    now = {"scored": {"2": 1_000_000, "1": 1_001_000}, "rejects": {"2": 300}}
    assert [s.name for s in told(vitals(long, now)).bad] == ["rejects"]
    both = {"scored": {"2": 1_000_700, "1": 1_000_700}, "rejects": {"2": 300, "1": 300}}
    assert told(vitals(long, both)).bad == ()
    few = {"scored": {"2": 1_000_001}, "rejects": {"2": 9}}
    assert told(vitals(long, few)).bad == (), "nine are too few to say"


def test_slow_after_a_thousand_records() -> None:
    """Speed is that of the last minute, so a model that becomes slow is seen; the limit is 20 times as long."""
    assert told(vitals({"speeds": {"1": 10.0, "2": 30.0}})).bad == ()
    assert [s.name for s in told(vitals({"speeds": {"1": 10.0, "2": 3_000.0}})).bad] == ["speed"]
    assert told(vitals({"speeds": {"1": 0.01, "2": 9.0}})).bad == (), "below a microsecond ratios say nothing"


def test_memory_that_grows() -> None:
    """A worker at twice the memory that it began with; a restart begins anew."""
    assert told(vitals({"rss_mb": 400.0}, {"rss_mb": 590.0})).bad == ()
    assert [s.name for s in told(vitals({"rss_mb": 400.0}, {"rss_mb": 1_000.0})).bad] == ["memory"]
    assert told(vitals({"rss_mb": 900.0}, {"rss_mb": 300.0}, {"rss_mb": 550.0})).bad == ()


def test_partitions_that_stopped() -> None:
    """Dead letters stop a partition: only where the challenger has given some is it to blame."""
    stopped = {"stopped": {"3": "1000 dead letters in a row"}}
    assert told(vitals(stopped)).bad == ()
    assert [s.name for s in told(vitals(stopped | {"rejects": {"2": 1}})).bad] == ["stopped"]


def test_few_cells_or_labels_say_nothing() -> None:
    """An hour of four partitions is four cells: too few to know how much cells vary."""
    assert evidence(RolloutSpec(), CANARY, played(BAD["swapped"], hours=1), Vitals(), {}).quality is None
    assert "too few labels" in evidence(RolloutSpec(), CANARY, Cards(), Vitals(), {}).words


def test_limit_is_students_quantile() -> None:
    """Three errors at the tail of a normal (0.135 %): 5.5 of them with 6 cells, 4.1 with 10, 3 with many."""
    assert [round(limit(3.0, 1, cells), 1) for cells in (6, 10, 100_000)] == [5.6, 4.1, 3.0]
    assert limit(3.0, 10, 100_000) == pytest.approx((9 + 2 * np.log(10)) ** 0.5, abs=1e-3)


def test_changing_shares_do_not_mix_hours() -> None:
    """A share that grows in a bad hour does not make the challenger look bad: differences are taken within cells."""
    cards, values = Cards(), list[bytes]()
    for hour in range(20):
        for p in range(PARTITIONS):
            n, loss = (10, 0.2) if hour < 10 else (90, 0.6)
            for version, k in (("2", n), ("1", 100 - n)):
                sums = Sums(n=k, labelled=k, loss=round(k * loss * SCALE))
                one = Scorecard(
                    version=version,
                    window=hour * HOUR,
                    span=HOUR,
                    partition=p,
                    rate=1,
                    watermark=1,
                    offset=1,
                    sums=sums,
                )
                values.append(msgspec.json.encode(one))
    cards.take(values)
    found = evidence(RolloutSpec(), CANARY, cards, Vitals(), {})
    assert found.quality is not None
    assert abs(found.quality.value) < 1e-5
    assert found.bad == ()


def test_newest_card_counts_and_rubbish_is_left_out() -> None:
    """Cards are upserts, of several rates the sum; event time is that of the partition furthest behind."""
    cards = Cards()
    assert cards.event_time() is None
    one = Scorecard(version="2", window=0, span=HOUR, partition=0, rate=5, watermark=9, offset=7, sums=Sums(n=3))
    older = msgspec.structs.replace(one, offset=6, sums=Sums(n=99))
    other = msgspec.structs.replace(one, rate=6, sums=Sums(n=4))
    account = Account(window=0, span=HOUR, partition=1, watermark=5, offset=1)
    cards.take([b"{", *map(msgspec.json.encode, (one, older, other, account))])
    assert (cards.count("2"), cards.event_time()) == (7, 5)


def test_psi_is_zero_for_equal_shares() -> None:
    """Equal shares have none, moved ones a positive one, alike in both directions."""
    assert psi((10, 20, 30), (1_000, 2_000, 3_000)) == pytest.approx(0, abs=2e-3)
    assert psi((30, 20, 10), (10, 20, 30)) == pytest.approx(psi((10, 20, 30), (30, 20, 10)))
    assert psi((30, 20, 10), (10, 20, 30)) > 0.5
