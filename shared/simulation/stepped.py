"""An aggregate that is stamped in steps of time: how many earlier records of its entity there are, as of each event."""

import numpy as np

from shared.simulation.world import Floats, Ints


def stepped_count(times: Ints, codes: Ints, *, over_ms: int, every_ms: int) -> Floats:
    """The count that each record finds, as the platform keeps it (see `AggregateSpec`): (n,), NaN where there is none.

    An aggregate is stamped with the next multiple of `every` after a record, and counts the records of event time in
    `[stamp - over, stamp)`. A record finds the newest stamp at or before its own time.

    Args:
        times: (n,) event times (ms), ascending.
        codes: (n,) entity of each record.
        over_ms: the span that is counted.
        every_ms: the step of the stamps.
    """
    counts = np.full(len(times), np.nan)
    order = np.argsort(codes, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        at = times[group]
        stamps = (at // every_ms + 1) * every_ms
        newest = np.searchsorted(stamps, at, side="right") - 1
        some = newest >= 0
        stamp = stamps[newest[some]]
        counts[group[some]] = np.searchsorted(at, stamp) - np.searchsorted(at, stamp - over_ms)
    return counts
