"""The panes of a reference: training's event time cut into parts, of which the windows that are watched are made.

A pane is a window long, or a part of one where training has few windows, so that there are enough windows to learn
what is usual from, be they shorter than those that are watched. Of a long training as many windows are taken as
`MOST`, spread over all of it: cycles of a year are in it then, and a profile of 200 features stays under a megabyte.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.core.bundle import Column
from shared.core.features import Floats
from shared.core.reference import FeatureProfile
from shared.core.summaries import bins_of, count

MOST = 64
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cut:
    """Panes: the event time at which each begins (ms, rising), and their length. Windows of a long time lie apart."""

    begins: Times
    length: int

    def within(self, first: int) -> "Cut":
        """Those that begin at `first` or later."""
        return Cut(self.begins[self.begins >= first], self.length)


def cut(times: Times, window: int) -> Cut:
    """Cut the event time of records into panes, the last of which ends with the last record.

    Args:
        times: of n records in order (ms), at least one.
        window: the length that is watched (ms), 1 or more.
    """
    end = int(times[-1]) + 1
    filled = np.unique((end - 1 - times) // window)  # windows before the end that have records at all
    span = int((end - int(times[0])) // window)
    if len(filled) > MOST or span > MOST:
        chosen = filled[np.unique(np.linspace(0, len(filled) - 1, min(MOST, len(filled))).astype(np.intp))]
        whole = chosen[end - (chosen + 1) * window >= int(times[0])]
        return Cut(np.sort(end - (whole + 1) * window), window)
    parts = _parts(end - int(times[0]), window)
    length = window // parts
    panes = min((end - int(times[0])) // length, MOST)
    return Cut(end - length * np.arange(panes, 0, -1, dtype=np.int64), length)


def panes_of(
    columns: Sequence[Column], profiles: dict[str, FeatureProfile], matrix: Floats, times: Times, panes: Cut
) -> dict[str, FeatureProfile]:
    """The profiles with their counts in each pane, over their own bins, by the code that counts for scorecards.

    Args:
        columns: d columns.
        profiles: of each column by name.
        matrix: float32 (n, d).
        times: of its rows in order (ms).
        panes: where to count.
    """
    bins = bins_of(columns, profiles)
    first, last = np.searchsorted(times, panes.begins), np.searchsorted(times, panes.begins + panes.length)
    found = [count(bins, matrix[begin:end]) for begin, end in zip(first.tolist(), last.tolist(), strict=True)]
    return {
        column.name: msgspec.structs.replace(
            profiles[column.name], panes=tuple(tuple(bins.of(one, j)[0].tolist()) for one in found)
        )
        for j, column in enumerate(columns)
    }


def span_of(profile: FeatureProfile, pane_ms: int, window: int, windows: int) -> int:
    """How many panes make a window to learn from: as long as the one that is watched, else as long as is possible.

    Args:
        profile: of a feature, with its panes.
        pane_ms: their length.
        window: the length that is watched (ms).
        windows: so many are needed.

    Returns:
        0: the reference is too short.
    """
    if pane_ms <= 0:
        return 0
    return min(max(window // pane_ms, 1), len(profile.panes) // windows)


def _parts(covered: int, window: int) -> int:
    """Into how many equal panes a window is cut: as many as may be, by a whole number of ms."""
    most = max(MOST * window // max(covered, 1), 1)
    return next(parts for parts in range(min(most, MOST, window), 0, -1) if window % parts == 0)
