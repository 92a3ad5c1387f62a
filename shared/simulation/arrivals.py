"""When records come: event times that follow the hour, the weekday and the month."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from shared.simulation.world import Ints

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EVEN_HOURS = (1.0,) * 24
EVEN_WEEK = (1.0,) * 7
EVEN_YEAR = (1.0,) * 12


def arrivals(
    rng: np.random.Generator,
    n: int,
    start_ms: int,
    days: int,
    *,
    hours: Sequence[float] = EVEN_HOURS,
    weekdays: Sequence[float] = EVEN_WEEK,
    months: Sequence[float] = EVEN_YEAR,
) -> Ints:
    """Event times of n records within so many days, ascending, in ms.

    Args:
        rng: the dice.
        n: how many.
        start_ms: first moment (ms since 1970 UTC), a full hour.
        days: length of the span.
        hours: relative weight of each hour of the day (UTC), 24 of them.
        weekdays: of each weekday, Monday first.
        months: of each month, January first.
    """
    begin = datetime.fromtimestamp(start_ms / 1000, UTC)
    dates = [begin + timedelta(days=day) for day in range(days)]
    by_day = np.array([weekdays[date.weekday()] * months[date.month - 1] for date in dates])
    turned = np.roll(np.asarray(hours, dtype=np.float64), -begin.hour)
    weight = np.cumsum(np.outer(by_day, turned).ravel())
    # Uniform draws through the inverse of the cumulated intensity: a Poisson stream, given its length.
    draws = np.sort(rng.random(n)) * weight[-1]
    edges = np.concatenate([[0.0], weight])
    since: Ints = np.interp(draws, edges, np.arange(len(edges)) * float(HOUR_MS)).astype(np.int64)
    return since + start_ms


def month_starts(start_ms: int, count: int) -> Ints:
    """The first moments (ms, UTC) of so many calendar months and of the one after, from the month of `start_ms` on."""
    begin = datetime.fromtimestamp(start_ms / 1000, UTC)
    first = begin.year * 12 + begin.month - 1
    months = (datetime((first + i) // 12, (first + i) % 12 + 1, 1, tzinfo=UTC) for i in range(count + 1))
    return np.array([int(month.timestamp() * 1000) for month in months], dtype=np.int64)
