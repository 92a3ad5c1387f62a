"""ADWIN over blocks of labels: a window that drops its old part once its mean differs, without any reference.

ADWIN2 of Bifet and Gavalda, "Learning from time-changing data with adaptive windowing" (2007): an exponential histogram
of the window, cut where two parts differ by more than chance. It is written anew here because blocks carry sums, not
single errors, and because its state has to be a value that is stored and compared; `river` stands beside it in tests.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

import msgspec

ROW = 5  # buckets of one size; a sixth merges the two oldest into one of twice the size
DELTA = 0.002


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """2^`row` blocks: their labels and errors."""

    row: int
    n: int
    errors: int


Window = tuple[Bucket, ...]


def add(window: Window, n: int, errors: int, *, delta: float = DELTA, spread: float = 1.0) -> tuple[Window, bool]:
    """The window after one more block, and whether its errors rose.

    Args:
        window: buckets, the oldest first; empty at the beginning.
        n: labels of the block.
        errors: how many of them were wrong.
        delta: the confidence: smaller is slower and surer.
        spread: by how much the variance of sums exceeds that of independent labels (`baseline.Baseline`).
    """
    grown = _compressed([*window, Bucket(0, n, errors)])
    rose = False
    while cut := _cut(grown, delta, spread):
        rose = rose or cut > 0
        grown = grown[1:]
    return tuple(grown), rose


def mean(window: Window) -> float:
    """The share of errors in the window; 0 for an empty one."""
    n = sum(bucket.n for bucket in window)
    return sum(bucket.errors for bucket in window) / n if n else 0.0


def bound(n_old: int, n_new: int, share: float, delta: float, spread: float) -> float:
    """By how much the means of two parts may differ by chance: theorem 3.2 with the variance of 0/1 values."""
    confidence = math.log(2 * math.log(n_old + n_new) / delta)
    part = (1 / n_old + 1 / n_new) * spread
    return math.sqrt(2 * part * share * (1 - share) * confidence) + 2 / 3 * part * confidence


def _cut(window: Sequence[Bucket], delta: float, spread: float) -> int:
    """1 if some new part of the window has more errors than the old one before it, -1 if fewer, 0 if none differs."""
    sizes = list(accumulate(bucket.n for bucket in window))
    errors = list(accumulate(bucket.errors for bucket in window))
    n, total = sizes[-1], errors[-1]
    for old, wrong in zip(sizes[:-1], errors[:-1], strict=True):
        differs = (total - wrong) / (n - old) - wrong / old
        if abs(differs) > bound(old, n - old, total / n, delta, spread):
            return 1 if differs > 0 else -1
    return 0


def _compressed(window: list[Bucket]) -> list[Bucket]:
    row = 0
    while (places := [i for i, bucket in enumerate(window) if bucket.row == row]) and len(places) > ROW:
        first, second = window[places[0]], window[places[1]]
        merged = Bucket(row + 1, first.n + second.n, first.errors + second.errors)
        window[places[0] : places[1] + 1] = [merged]
        row += 1
    return window
