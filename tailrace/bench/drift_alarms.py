"""Detectors on streams: how long until they see a change, how often they see one that is none, and flights."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from tailrace.bench.drift_detectors import Detector
from tailrace.bench.drift_errors import CHANGES, STATIONARY, Stream, changing, flights, stationary, worsened

Say = Callable[[str], None]
_LEAD = 1_000  # labels before a change that a slow detector is given
_RECENT = 1_000  # labels before an alarm whose errors are looked at
_PER = 100_000
RISES, _PLACES = (0.05, 0.16, 0.49), 5  # on flights: how much worse, and at how many times of the year
DUMMY = "a dummy, at random"


class Delay(msgspec.Struct, frozen=True):
    """Records from a change to the first alarm after it, over seeds; what missed counts with all that it was given.

    `early`: alarms before the change.
    """

    mean: float
    least: float
    most: float
    missed: int
    early: int
    seeds: int


class Flights(msgspec.Struct, frozen=True):
    """Alarms on flights: how many, per 100,000 labels, on how many days.

    `before`: the share of errors among the 1,000 labels before an alarm, the mean over alarms; 0 for none.
    """

    alarms: int
    per_100k: float
    days: int
    before: float


class Row(msgspec.Struct, frozen=True):
    """One detector: delays by change, false alarms per 100,000 records by stationary stream, flights, microseconds.

    `null_records` is how many stationary records it was given, of each stream; `us` is CPU a record.
    """

    detector: str
    delays: dict[str, Delay]
    false_alarms: dict[str, float]
    null_records: int
    flights: Flights | None
    us: float


def measure_alarms(
    given: Sequence[Detector], *, seeds: int, records: int, real: bool, say: Say
) -> tuple[list[Row], dict[str, float]]:
    """Every detector on every stream, and a dummy that alarms as often as the first one does on flights.

    Args:
        given: the detectors.
        seeds: runs of each change; the stationary records are shared by as many models, too.
        records: stationary records of each concept, in all.
        real: whether flights are run as well.
        say: told what takes time.

    Returns:
        The rows, and facts of the streams: shares of errors by name.
    """
    tallies = {detector.name: _Tally(detector) for detector in given}
    facts = dict[str, float]()
    for stream in _streams(seeds, records, real=real, say=say):
        facts |= _facts(stream)
        for tally in tallies.values():
            tally.run(stream)
    first = tallies[given[0].name]
    rate = first.rate()
    dummy = _Tally(Detector(DUMMY, lambda stream: _random(stream, rate)))
    for stream in first.seen:
        dummy.run(stream)
    return [tally.row() for tally in (*tallies.values(), dummy)], facts


def _streams(seeds: int, records: int, *, real: bool, say: Say) -> Iterator[Stream]:
    for kind in CHANGES:
        say(f"{kind.name}: {seeds} seeds")
        yield from (changing(kind, seed) for seed in range(seeds))
    for kind in STATIONARY:
        say(f"{kind.name}, without a change: {records:,} records")
        yield from (stationary(kind, records // seeds, seed) for seed in range(seeds))
    if real:
        whole = flights(say)
        yield whole
        say("flights made worse")
        for rise in RISES:
            for seed in range(_PLACES):
                yield worsened(whole, rise, (seed + 1) * len(whole.watched) // (_PLACES + 2), seed)


def _facts(stream: Stream) -> dict[str, float]:
    before = float(stream.watched.errors[: stream.change].mean())
    found = {f"{stream.name}: share of errors": round(before, 4)}
    if stream.change is not None:
        found[f"{stream.name}: share of errors after"] = round(float(stream.watched.errors[stream.change :].mean()), 4)
    return found


class _Tally:
    """What one detector did."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._delays: dict[str, list[tuple[float, bool, int]]] = {}
        self._nulls: dict[str, tuple[int, int]] = {}
        self._flights: Flights | None = None
        self._seconds, self._records = 0.0, 0
        self.seen: list[Stream] = []

    def run(self, stream: Stream) -> None:
        """Run it on one more stream; a slow one on a part, and on the first of each name."""
        longest = self._detector.longest
        if longest is not None:
            if any(other.name == stream.name for other in self.seen):
                return
            stream = _shortened(stream, longest)
        self.seen.append(stream)
        begin = time.process_time()
        found = self._detector.run(stream)
        self._seconds += time.process_time() - begin
        self._records += len(stream.watched)
        if stream.change is not None:
            after = [alarm - stream.change for alarm in found if alarm > stream.change]
            seen = (float(after[0]) if after else float(len(stream.watched) - stream.change), not after)
            self._delays.setdefault(stream.name, []).append((*seen, len(found) - len(after)))
        elif stream.days is None:
            alarms, records = self._nulls.get(stream.name, (0, 0))
            self._nulls[stream.name] = (alarms + len(found), records + len(stream.watched))
        else:
            self._flights = _on_flights(stream, found)

    def rate(self) -> float:
        """Alarms a record on flights; without them, one in 100,000."""
        return self._flights.per_100k / _PER if self._flights else 1 / _PER

    def row(self) -> Row:
        """Its row."""
        return Row(
            self._detector.name,
            {name: _delay(runs) for name, runs in self._delays.items()},
            {name: round(alarms / records * _PER, 3) for name, (alarms, records) in self._nulls.items()},
            min((records for _, records in self._nulls.values()), default=0),
            self._flights,
            round(self._seconds / max(self._records, 1) * 1e6, 2),
        )


def _delay(runs: Sequence[tuple[float, bool, int]]) -> Delay:
    delays = [delay for delay, _, _ in runs]
    missed, early = sum(missed for _, missed, _ in runs), sum(early for _, _, early in runs)
    return Delay(round(float(np.mean(delays)), 1), min(delays), max(delays), missed, early, len(runs))


def _on_flights(stream: Stream, found: Sequence[int]) -> Flights:
    errors = stream.watched.errors
    days = set() if stream.days is None else {int(stream.days[alarm - 1]) for alarm in found}
    before = [float(errors[max(alarm - _RECENT, 0) : alarm].mean()) for alarm in found]
    per = round(len(found) / len(errors) * _PER, 2)
    return Flights(len(found), per, len(days), round(float(np.mean(before)), 4) if before else 0.0)


def _shortened(stream: Stream, longest: int) -> Stream:
    begin = 0 if stream.change is None else max(stream.change - _LEAD, 0)
    return replace(
        stream,
        reference=stream.reference.part(-_LEAD),
        watched=stream.watched.part(begin, begin + longest),
        change=None if stream.change is None else stream.change - begin,
    )


def _random(stream: Stream, rate: float) -> list[int]:
    rng = np.random.default_rng(len(stream.watched) + int(stream.watched.errors.sum()))
    return [int(place) + 1 for place in np.flatnonzero(rng.random(len(stream.watched)) < rate)]
