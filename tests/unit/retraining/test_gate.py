"""The gate: pairs by blocks, slices together, and whether a challenger has learned anything."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t as student_of_scipy

from shared.core.gate import LEAST_LABELS, LEAST_SKILL, GateFigures, Mode, Skill, judge, losses, skill
from shared.core.student import student

SEED = 20_261_121
Values = NDArray[np.float64]


def labels(n: int = 3_000, days: int = 5, effect: float = 0.0) -> tuple[Values, Values, NDArray[np.int64]]:
    """Losses of a champion and of a challenger that is `effect` worse, and their days."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    champion = rng.exponential(0.5, n)
    return champion, champion + effect + rng.normal(0, 0.2, n), np.sort(rng.integers(0, days, n))


def asked(effect: float, mode: Mode = "not_worse", n: int = 3_000, days: int = 5) -> GateFigures:
    """The gate's answer to a challenger that is so much worse."""
    champion, challenger, blocks = labels(n, days, effect)
    return judge(champion, challenger, blocks, {}, mode)


def test_columns_of_different_lengths_are_a_bug() -> None:
    """A pair that is none is refused, not cut short."""
    with pytest.raises(ValueError, match="different lengths"):
        judge(np.zeros(3), np.zeros(2), np.zeros(3, dtype=np.int64), {})


@pytest.mark.parametrize(
    ("mode", "effect", "passed"),
    [
        ("not_worse", 0.05, False), ("not_worse", 0.002, True), ("not_worse", -0.05, True),
        ("better", 0.002, False), ("better", -0.05, True),
        ("significantly_better", -0.002, False), ("significantly_better", -0.05, True),
        ("none", 0.5, True),
    ],
)  # fmt: skip
def test_each_mode_asks_for_what_it_says(mode: Mode, effect: float, passed: bool) -> None:  # noqa: FBT001 - a table
    """Significantly worse is refused in every mode but none; stricter modes want a better mean, or a sure one."""
    found = asked(effect, mode)
    assert (found.passed, found.judged) == (passed, True)
    assert bool(found.reasons) == (not passed)


@pytest.mark.parametrize(("n", "days"), [(LEAST_LABELS - 1, 5), (3_000, 1), (0, 5)])
def test_too_little_is_said_and_passes_only_where_nothing_must_be_shown(n: int, days: int) -> None:
    """Few labels, or one day of them, are not judged: told in words, refused by the modes that want to be shown."""
    found = asked(5.0, n=n, days=days)
    assert (found.passed, found.judged) == (True, False)
    assert found.reasons[-1].startswith("not judged: ")
    for mode in ("better", "significantly_better"):
        assert not asked(-5.0, mode, n=n, days=days).passed


def test_the_error_is_that_of_blocks_and_never_below_independent_labels() -> None:
    """Days that go up and down together widen the error; two days that agree by chance do not narrow it."""
    n = 2_000
    blocks, rng = np.repeat(np.arange(4), n // 4), np.random.default_rng(SEED)
    swings = np.array([0.3, -0.3, 0.25, -0.2])[blocks] + rng.normal(0, 0.05, n)
    wide = judge(np.zeros(n), swings, blocks, {}).whole
    sums = np.bincount(blocks, weights=swings - swings.mean())
    assert wide.error == pytest.approx(np.sqrt(4 / 3 * (sums**2).sum()) / n)
    noise = rng.normal(0, 1, n // 2)
    alike = judge(np.zeros(n), np.concatenate([noise, noise]), np.repeat([0, 1], n // 2), {}).whole
    assert alike.error == pytest.approx(np.concatenate([noise, noise]).std(ddof=1) / np.sqrt(n))


def test_one_bad_slice_refuses_and_many_good_ones_do_not() -> None:
    """What is fine on the whole is refused for one slice; the more slices are looked at, the surer it must be."""
    champion, challenger, blocks = labels(6_000, 6, effect=-0.03)
    first = np.arange(len(blocks)) % 5 == 0
    challenger = challenger + first * 0.1
    found = judge(champion, challenger, blocks, {"carrier=AA": first, "carrier=*": ~first})
    assert not found.slices["carrier=*"].worse
    assert found.slices["carrier=AA"].worse
    assert [reason.split(" (")[0] for reason in found.reasons] == ["worse than the champion on carrier=AA"]
    few, many = (
        judge(champion, challenger, blocks, {f"s{i}": first for i in range(k)}).slices["s0"].limit for k in (1, 20)
    )
    assert few is not None
    assert many is not None
    assert many > few


def test_without_a_difference_few_are_refused() -> None:
    """Of equal models with days of their own, on three days and six slices, about one in ten is refused at most."""
    print(f"seed {SEED}")
    rng, refused, runs = np.random.default_rng(SEED), 0, 400
    for _ in range(runs):
        blocks = np.sort(rng.integers(0, 3, 1_500))
        change = rng.normal(0, 0.2, 1_500) + rng.normal(0, 0.02, 3)[blocks]
        parts = {f"s{i}": np.arange(1_500) % 6 == i for i in range(6)}
        refused += not judge(np.zeros(1_500), change, blocks, parts).passed
    assert refused / runs <= 0.12


@pytest.mark.parametrize("p", [0.9, 0.9772, 0.999])
@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 50, 199])
def test_student_is_scipys(p: float, freedom: int) -> None:
    """Quantiles are those of scipy."""
    assert student(p, freedom) == pytest.approx(student_of_scipy.ppf(p, freedom), rel=1e-6)


def test_losses_are_those_of_the_task() -> None:
    """Log-loss of what came true, at most 13.87; squared errors, or absolute ones where the metric is one."""
    p = np.array([[0.25, 0.75], [1.0, 0.0]])
    assert losses(p, np.array([1.0, 1.0])) == pytest.approx([-np.log(0.75), 20 * np.log(2)])
    assert losses(np.array([1.0, 5.0]), np.array([2.0, 2.0])) == pytest.approx([1, 9])
    assert losses(np.array([1.0, 5.0]), np.array([2.0, 2.0]), "mae") == pytest.approx([1, 3])


def test_skill_is_of_ranks_inside_blocks() -> None:
    """Twice the AUC less one, a rank correlation; what only tells days apart is none, a constant is none."""
    y = np.array([0, 0, 1, 1] * 50, dtype=np.float64)
    blocks = np.repeat(np.arange(4), 50)
    right = skill(np.column_stack([1 - y, y]), y, blocks)
    assert (right.value, right.shown) == (1.0, True)
    assert skill(np.column_stack([y, 1 - y]), y, blocks).value == -1.0
    share: Values = np.asarray(blocks / 4, dtype=np.float64)
    days = np.column_stack([1 - share, share]).astype(np.float64)
    bad_days: Values = (np.random.default_rng(SEED).random(200) < share).astype(np.float64)
    assert skill(days, bad_days, blocks).value == 0.0
    values: Values = np.arange(200, dtype=np.float64)
    assert skill(np.power(values, 3), values, blocks).value == pytest.approx(1.0)
    assert not skill(np.ones((200, 3)), (np.arange(200) % 3).astype(np.float64), blocks).shown
    assert not skill(values[:0], values[:0], blocks[:0]).known


def test_whoever_learned_nothing_is_refused_however_bad_the_champion() -> None:
    """Shown on one set of labels is enough; known nowhere is said and passes; known to be nothing is refused."""
    champion, challenger, blocks = labels(effect=-5.0)

    def answer(**skills: Skill) -> GateFigures:
        return judge(champion, challenger, blocks, {}, skills=skills)

    nothing, own = Skill(0.01, 0.02, 3_000), Skill(0.07, 0.01, 9_000, LEAST_SKILL)
    refused = answer(gate=nothing)
    assert not refused.passed
    assert refused.reasons[0].startswith("it has learned nothing")
    assert answer(gate=nothing, own=own).passed
    assert not answer(gate=msgspec.structs.replace(own, least=0.3)).passed
    blurred = answer(gate=Skill(0.1, 0.3, 20))
    assert blurred.passed
    assert blurred.reasons == ("too few labels to tell whether it has learned anything",)
