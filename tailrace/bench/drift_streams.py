"""The seeded streams of `tailrace bench drift`: SEA and Agrawal concepts, and feature streams that do not drift.

SEA is of Street and Kim, "A streaming ensemble algorithm for large-scale classification" (2001), with their noise of
10 %; Agrawal's classes are of Agrawal, Imielinski and Swami, "Database mining: a performance perspective" (1993).
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.int8]
Null = Literal["independent", "ar 0.9", "ar 0.99", "daily"]
NULLS: tuple[Null, ...] = ("independent", "ar 0.9", "ar 0.99", "daily")
SEA_NOISE, AGRAWAL_SPREAD = 0.1, 0.05
DAY = 2_000  # records of the daily cycle, which has a tenth of the variance
_SEA = (8.0, 9.0, 7.0, 9.5)


def sea(n: int, concept: int, rng: np.random.Generator) -> tuple[Floats, Codes]:
    """Records (n, 3) of one of the four SEA concepts, and their classes."""
    x = rng.uniform(0, 10, (n, 3))
    y = (x[:, 0] + x[:, 1] > _SEA[concept]) ^ (rng.random(n) < SEA_NOISE)
    return x.astype(np.float32), y.astype(np.int8)


def agrawal(n: int, concept: Literal[0, 3], rng: np.random.Generator) -> tuple[Floats, Codes]:
    """Records (n, 9) of Agrawal's first or fourth concept, numbers disturbed by up to 5 % of their range."""
    salary = 20_000 + 130_000 * rng.random(n)
    commission = np.where(salary >= 75_000, 0.0, 10_000 + 75_000 * rng.random(n))  # noqa: PLR2004 - as published
    age, level = rng.integers(20, 81, n), rng.integers(0, 5, n)
    y = (age < 40) | (age >= 60) if concept == 0 else _fourth(salary, age, level)  # noqa: PLR2004 - as published
    zone = rng.integers(0, 9, n)
    columns = [
        _disturbed(salary, 20_000, 150_000, rng),
        np.where(commission > 0, _disturbed(commission, 10_000, 75_000, rng), 0.0),
        np.round(_disturbed(age.astype(np.float64), 20, 80, rng)),
        level,
        rng.integers(1, 21, n),
        zone,
        (8 - zone) * 100_000 * (0.5 + rng.random(n)),
        rng.integers(1, 31, n),
        rng.random(n) * 500_000,
    ]
    return np.column_stack(columns).astype(np.float32), y.astype(np.int8)


def null(kind: Null, size: int, d: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Without end, the next `size` records (size, d) of features whose distribution never changes, of variance 1.

    "ar p" is autoregressive: each value is p times the one before, plus noise. "daily" is noise and a cycle.
    """
    if kind == "independent":
        while True:
            yield rng.standard_normal((size, d), dtype=np.float32)
    if kind == "daily":
        yield from _daily(size, d, rng)
    yield from _autoregressive(float(kind.removeprefix("ar ")), size, d, rng)


def _daily(size: int, d: int, rng: np.random.Generator) -> Iterator[Floats]:
    phases, begin = rng.random(d), int(rng.integers(DAY))
    while True:
        turns = 2 * np.pi * (np.arange(begin, begin + size)[:, None] / DAY + phases)
        cycle = np.sqrt(0.2) * np.sin(turns)
        yield (np.sqrt(0.9) * rng.standard_normal((size, d)) + cycle).astype(np.float32)
        begin += size


def _autoregressive(share: float, size: int, d: int, rng: np.random.Generator) -> Iterator[Floats]:
    kept, fresh = np.float32(share), np.float32(np.sqrt(1 - share**2))
    last = rng.standard_normal(d, dtype=np.float32)
    while True:
        values = fresh * rng.standard_normal((size, d), dtype=np.float32)
        for i in range(size):
            values[i] += kept * last
            last = values[i]
        yield values


def _disturbed(values: NDArray[np.float64], least: float, most: float, rng: np.random.Generator) -> NDArray[np.float64]:
    moved = values + (most - least) * AGRAWAL_SPREAD * rng.uniform(-1, 1, len(values))
    return np.clip(moved, least, most)


def _fourth(salary: NDArray[np.float64], age: NDArray[np.int64], level: NDArray[np.int64]) -> NDArray[np.bool_]:
    low, middle, high = ((salary >= start) & (salary <= start + 50_000) for start in (25_000, 50_000, 75_000))
    young = np.where(level <= 1, low, middle)
    between = np.where((level >= 1) & (level <= 3), middle, high)  # noqa: PLR2004 - as published
    old = np.where(level >= 2, middle, low)  # noqa: PLR2004 - as published
    return np.where(age < 40, young, np.where(age < 60, between, old))  # noqa: PLR2004 - as published
