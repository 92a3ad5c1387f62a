"""What is wrong with a bundle's `Post`, in words: a curve that falls or an interval upside down answers nonsense."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from shared.core.answering import Curve, Interval, Post

MAX_KNOTS = 10_000
MAX_BINS = 100
_BINARY = 2


def flaw(post: Post, classes: int) -> str:
    """The first thing that is wrong with it; empty: nothing is.

    Args:
        post: as a manifest has it.
        classes: how many the task has; 0: a regression.
    """
    return next(_flaws(post, classes), "")


def _flaws(post: Post, classes: int) -> Iterator[str]:
    if classes and (post.target != "none" or post.interval is not None):
        yield "a target transform or an interval, which only a regression has"
    if post.calibration and len(post.calibration) != (1 if classes == _BINARY else classes):
        yield f"{len(post.calibration)} curves for {classes} classes"
    for curve in post.calibration:
        yield from _curve(curve)
    if post.interval is not None:
        yield from _interval(post.interval)


def _curve(curve: Curve) -> Iterator[str]:
    if len(curve.x) != len(curve.y) or len(curve.x) > MAX_KNOTS:
        yield f"a curve of {len(curve.x)} and {len(curve.y)} numbers"
    elif not _rises(curve.x, strictly=True) or not _rises(curve.y) or not all(0 <= p <= 1 for p in curve.y):
        yield "a curve that does not rise from 0 to 1"
    elif not (math.isfinite(curve.a) and math.isfinite(curve.b) and curve.a >= 0):
        yield f"a sigmoid of slope {curve.a} and offset {curve.b}"


def _interval(interval: Interval) -> Iterator[str]:
    bins = len(interval.low)
    if not 0 < interval.coverage < 1:
        yield f"an interval of coverage {interval.coverage}"
    elif not 0 < bins <= MAX_BINS or len(interval.high) != bins or len(interval.edges) != bins - 1:
        yield f"an interval of {bins} and {len(interval.high)} errors between {len(interval.edges)} edges"
    elif not _rises(interval.edges, strictly=True):
        yield "an interval whose bins are not in order"
    elif not all(low <= high for low, high in zip(interval.low, interval.high, strict=True)) or not all(
        map(math.isfinite, (*interval.low, *interval.high))
    ):
        yield "an interval that is upside down or not finite"


def _rises(numbers: Sequence[float], *, strictly: bool = False) -> bool:
    ordered = all(a < b if strictly else a <= b for a, b in pairwise(numbers))
    return ordered and all(map(math.isfinite, numbers))
