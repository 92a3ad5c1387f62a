"""What a clock on the wall shows at event times."""

from dataclasses import dataclass

import numpy as np

from shared.simulation.arrivals import DAY_MS, HOUR_MS
from shared.simulation.world import Ints

_THURSDAY = 3  # 1 January 1970


@dataclass(frozen=True, slots=True)
class Clock:
    """(n,) local hour, weekday (Monday is 0) and day of the year (1 January is 1)."""

    hour: Ints
    weekday: Ints
    day: Ints


def wall_clock(times: Ints, offset_h: int) -> Clock:
    """The clock of a place that is so many hours before UTC (negative: behind), without summer time.

    Args:
        times: (n,) ms since 1970 UTC.
        offset_h: hours to add to UTC.
    """
    local = times + offset_h * HOUR_MS
    days = local // DAY_MS
    dates = days.astype("datetime64[D]")
    day = (dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1
    return Clock(local // HOUR_MS % 24, (days + _THURSDAY) % 7, day)
