"""Entities that come back: their earlier records, what a look-up shows as of a record, and what slowly changes.

Entities are codes 0..m-1; records are in order of event time. Nothing here looks ahead.
"""

from dataclasses import dataclass

import numpy as np

from shared.simulation.world import Floats, Ints


def previous(codes: Ints) -> Ints:
    """The place of each record's predecessor of the same entity, -1 where there is none: (n,)."""
    order = np.argsort(codes, kind="stable")
    before = np.full(len(codes), -1, dtype=np.int64)
    same = codes[order[1:]] == codes[order[:-1]]
    before[order[1:][same]] = order[:-1][same]
    return before


def as_of(codes: Ints, times: Ints, update_codes: Ints, update_times: Ints) -> Ints:
    """The place of the newest update of each record's entity that is not newer than the record, -1 for none: (n,).

    Args:
        codes: (n,) entity of each record.
        times: (n,) its event time (ms).
        update_codes: (m,) entity of each update, in any order.
        update_times: (m,) its time (ms).
    """
    if not len(update_codes):
        return np.full(len(codes), -1, dtype=np.int64)
    order = np.lexsort((update_times, update_codes))
    origin = int(min(times.min(initial=0), update_times.min()))
    span = int(max(times.max(initial=0), update_times.max())) - origin + 1
    keys = update_codes[order] * span + (update_times[order] - origin)
    at = np.searchsorted(keys, codes * span + (times - origin), side="right") - 1
    found = order[np.maximum(at, 0)]
    return np.where((at >= 0) & (update_codes[found] == codes), found, -1)


@dataclass(frozen=True, slots=True)
class Earlier:
    """Aggregates over the earlier records of an entity as of each record: (n,) each, NaN where there are none.

    As the platform keeps them: `count` and `mean` are over a span that ends with the newest earlier record (0 of them
    is NaN, since no version exists then), `last` is its value, `since` the seconds from it to this record.
    """

    count: Floats
    mean: Floats
    last: Floats
    since: Floats


def earlier(codes: Ints, times: Ints, values: Floats, over_ms: int) -> Earlier:
    """Aggregates of a number that every record has.

    Args:
        codes: (n,) entity of each record; records are in order of `times`.
        times: (n,) event times (ms).
        values: (n,) the number.
        over_ms: the span.
    """
    before = previous(codes)
    known = before >= 0
    order = np.argsort(codes, kind="stable")
    place = np.empty(len(codes), dtype=np.int64)
    place[order] = np.arange(len(codes))
    span = int(times.max(initial=0) - times.min(initial=0)) + over_ms + 2
    origin = int(times.min(initial=0)) - over_ms - 1
    keys = codes[order] * span + (times[order] - origin)
    # The version that this record sees was stamped 1 ms after its predecessor.
    last = np.where(known, before, 0)
    first = np.searchsorted(keys, codes * span + (times[last] + 1 - over_ms - origin), side="left")
    stop = place[last] + 1
    sums = np.concatenate([[0.0], np.cumsum(values[order])])
    count = (stop - first).astype(np.float64)
    mean = (sums[stop] - sums[first]) / np.maximum(count, 1.0)
    since = (times - times[last]) / 1000.0
    columns = (np.where(known, column, np.nan) for column in (count, mean, values[last], since))
    return Earlier(*columns)


def wander(rng: np.random.Generator, codes: Ints, times: Ints, *, sd: float, days: float) -> Floats:
    """A value that drifts slowly around 0 for each entity, as of each record: (n,).

    Args:
        rng: the dice.
        codes: (n,) entity of each record; records are in order of `times`.
        times: (n,) event times (ms).
        sd: its standard deviation at any one moment.
        days: after how long it has forgotten most of where it was.

    An Ornstein-Uhlenbeck process, so that it is stationary however often an entity comes.
    """
    before = previous(codes)
    value = rng.normal(0.0, sd, len(codes))
    turn = _turns(before)
    for number in range(1, int(turn.max(initial=0)) + 1):
        now = np.flatnonzero(turn == number)
        kept = np.exp(-(times[now] - times[before[now]]) / (days * 86_400_000.0))
        value[now] = kept * value[before[now]] + np.sqrt(1.0 - kept**2) * value[now]
    return value


def _turns(before: Ints) -> Ints:
    """How many earlier records the entity of each record has."""
    turn = np.zeros(len(before), dtype=np.int64)
    for i in np.flatnonzero(before >= 0).tolist():
        turn[i] = turn[before[i]] + 1
    return turn


def named(prefix: str, codes: Ints, width: int = 6) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """Names of entities: `R000042` for code 42 and prefix R."""
    return np.char.add(prefix, np.char.zfill(codes.astype(np.str_), width))
