"""CUSUM for a rise of errors or losses, over blocks of labels (Page, "Continuous inspection schemes", 1954).

Each member of a bank looks for a rise of one size. Its evidence grows with every block by the logarithm of how much
likelier the block is after such a rise than before, never below 0; an alarm is where it reaches its threshold. A
bank of small and large rises is quick for both (Lorden, "Procedures for reacting to a change in distribution", 1971).

Counts of errors are taken as binomial. Sums of losses are skewed, so they are taken as Pearson's type III (a gamma
distribution, shifted): with its exponential tilt a chance outlier weighs no more than it should.
"""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from shared.core.baseline import Baseline


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All parameters of the detectors.

    `rises` are of the share of errors (0.05: five points more), `loss_rises` of the loss in standard deviations of
    one label. `threshold` is of the smallest rise; larger ones get more, so that each is as seldom wrong. `caution`
    is how many standard errors the reference may be too good. A level that alarmed is calm again below `calm` times
    its threshold, and is kept below `most` times it. `reference` labels are learned from where no judged holdout is
    given, and `minimum` labels more are waited for before the first alarm. `cooldown` is in ms of event time.
    `detector` may be ADWIN, of errors alone, with its confidence `delta`: it needs no reference, but is calm on bursty
    errors only with a given one.
    """

    detector: Literal["cusum", "adwin"] = "cusum"
    delta: float = 0.002
    rises: tuple[float, ...] = (0.05, 0.15, 0.45)
    loss_rises: tuple[float, ...] = (0.15, 0.45, 1.35)
    threshold: float = 8.5
    caution: float = 0.5
    calm: float = 0.5
    most: float = 1.25
    reference: int = 5_000
    minimum: int = 200
    cooldown: int = 7 * 86_400_000


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One rise that is looked for: a block of n labels with this sum adds `weight * sum - n * slack`."""

    weight: float
    slack: float
    threshold: float


class Level(msgspec.Struct, frozen=True, array_like=True):
    """A member's evidence, and the labels since it was last 0: how many, their sum, the event time they begin (ms).

    Where the evidence was last 0 is the estimate of when the rise began (Page, 1954).
    """

    value: float = 0.0
    n: int = 0
    total: float = 0.0
    since: int = 0


def bank(reference: Baseline, terms: Terms) -> tuple[Member, ...]:
    """The members for a reference; none where it does not vary at all."""
    if reference.deviation == 0:
        return ()
    rises = terms.rises if reference.kind == "errors" else terms.loss_rises
    make = _binomial if reference.kind == "errors" else _skewed
    members = []
    for rise in rises:
        weight, slack = make(reference, terms.caution, rise)
        # Chance reaches a threshold h at a rate of about rise^2 exp(-h): this keeps it the same for all.
        threshold = terms.threshold + 2 * math.log(rise / rises[0])
        members.append(Member(weight / reference.spread, slack / reference.spread, threshold))
    return tuple(members)


def step(members: Sequence[Member], levels: Sequence[Level], block: tuple[int, float, int], most: float) -> list[Level]:
    """The levels after one more block.

    Args:
        members: the bank.
        levels: before the block; empty at the beginning.
        block: labels, their sum of errors or losses, and the event time at which it begins (ms).
        most: no level grows above this times its threshold, so that it comes down again when the rise is over.
    """
    n, total, opened = block
    after = []
    for member, level in zip(members, levels or (Level(),) * len(members), strict=True):
        value = level.value + member.weight * total - n * member.slack
        if value <= 0:
            after.append(Level())
        else:
            since = level.since if level.n else opened
            after.append(Level(min(value, most * member.threshold), level.n + n, level.total + total, since))
    return after


def highest(members: Sequence[Member], levels: Sequence[Level]) -> tuple[float, int]:
    """The largest level in units of its threshold (1: an alarm), and its place; (0, 0) for none."""
    parts = [level.value / member.threshold for member, level in zip(members, levels, strict=False)]
    return max(((part, i) for i, part in enumerate(parts)), default=(0.0, 0), key=lambda found: found[0])


def _binomial(reference: Baseline, caution: float, rise: float) -> tuple[float, float]:
    """The logarithm of the likelihood ratio of two binomials: weight of an error, slack a label."""
    before = min(reference.mean + caution * reference.error, (1 + reference.mean) / 2)
    after = min(before + rise, (1 + before) / 2)
    weight = math.log(after / (1 - after)) - math.log(before / (1 - before))
    return weight, math.log1p(before * math.expm1(weight))


def _skewed(reference: Baseline, caution: float, rise: float) -> tuple[float, float]:
    """The tilt of a shifted gamma that moves its mean by `rise` deviations: weight of a unit of loss, slack a label."""
    deviation = reference.deviation * math.sqrt(reference.block)
    shape, scale = 4 / reference.skew**2, deviation * reference.skew / 2
    mean = (reference.mean + caution * reference.error) * reference.block
    moved = rise * reference.deviation * reference.block / (shape * scale)
    weight = moved / (1 + moved) / scale
    cumulant = weight * (mean - shape * scale) + shape * math.log1p(moved)
    return weight, cumulant / reference.block
