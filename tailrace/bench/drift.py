"""`tailrace bench drift`: can the alarms be trusted? Detectors and feature monitors, ours and those usually taken."""

import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from services.monitor.analyst.calibration import DriftTerms
from services.monitor.analyst.cusum import Terms
from shared.core.bundle import Column
from shared.core.reference import profile
from shared.core.summaries import bins_of, count
from tailrace.bench.drift_alarms import Row, measure_alarms
from tailrace.bench.drift_detectors import SLOW, detectors, river_is_there
from tailrace.bench.drift_errors import CHANGES
from tailrace.bench.drift_features import OURS, WIDTHS, NullRow, ShiftRow, measure_nulls, measure_shift

Say = Callable[[str], None]
PER_100K, ON_FLIGHTS, SHIFT_WITHIN, SUMMARY_US = 1.0, 16.0, 5_000, 0.15
FULL = 1_000_000  # stationary records of each stream: fewer cannot tell one alarm in 100,000 from none
UNBARRED = "ar 0.99"  # shown, not promised: a window of 5,000 such records is worth 25 independent ones
_BATCH = 1_000


class Bar(msgspec.Struct, frozen=True):
    """One figure that is to be reached: at most `wanted`."""

    name: str
    found: float
    wanted: float

    @property
    def ok(self) -> bool:
        """Whether it is."""
        return self.found <= self.wanted


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. `ok`: every bar is reached; `not_reached` names the others."""

    ok: bool
    not_reached: list[str]
    bars: list[Bar]
    detectors: list[Row]
    nulls: list[NullRow]
    shift: ShiftRow
    summary_us: dict[int, float]
    facts: dict[str, float]
    records: int
    seeds: int
    terms: Terms
    drift_terms: DriftTerms
    seconds: float
    notes: list[str]


def measure(
    *, records: int, seeds: int, real: bool, say: Say, widths: Sequence[int] = WIDTHS, batches: int = 200
) -> Result:
    """Run everything.

    Args:
        records: stationary records, of each stream.
        seeds: runs of each change.
        real: whether flights are run.
        say: told what takes time.
        widths: numbers of features.
        batches: of which summaries are timed.

    Raises:
        UserError: the history of flights cannot be had.
    """
    begin, terms, drift_terms = time.monotonic(), Terms(), DriftTerms()
    with threadpool_limits(limits=1):
        rows, facts = measure_alarms(detectors(terms), seeds=seeds, records=records, real=real, say=say)
        nulls = measure_nulls(records, drift_terms, widths, say)
        shift = measure_shift(seeds, drift_terms, say)
        cost = {batch: summary_us(batch, batches) for batch in (_BATCH, 5 * _BATCH)}
    bars = [
        *_bars(rows[0], nulls, shift),
        *(Bar(f"summaries, batches of {n:,}, us", us, SUMMARY_US) for n, us in cost.items()),
    ]
    return Result(
        ok=all(bar.ok for bar in bars),
        not_reached=[bar.name for bar in bars if not bar.ok],
        bars=bars, detectors=rows, nulls=nulls, shift=shift, summary_us=cost, facts=facts,
        records=records, seeds=seeds, terms=terms, drift_terms=drift_terms,
        seconds=round(time.monotonic() - begin, 1), notes=_notes(records, real=real),
    )  # fmt: skip


def summary_us(batch: int, batches: int, d: int = 20) -> float:
    """CPU microseconds a record to count d numbers over ten bins each: the median batch."""
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((batch, d), dtype=np.float32)
    columns = [Column(f"f{j}", "numeric") for j in range(d)]
    bins = bins_of(columns, profile(columns, matrix, [0.5], [0.5]).features)
    taken = []
    for _ in range(batches):
        fresh = rng.standard_normal((batch, d), dtype=np.float32)
        begin = time.process_time()
        count(bins, fresh)
        taken.append(time.process_time() - begin)
    return round(float(np.median(taken)) / batch * 1e6, 4)


def _bars(ours: Row, nulls: Sequence[NullRow], shift: ShiftRow) -> Iterator[Bar]:
    for change in CHANGES:
        delay = ours.delays[change.name]
        yield Bar(f"{change.name}: mean delay, records", delay.mean, change.wanted)
        yield Bar(f"{change.name}: missed", delay.missed, 0)
    for name, found in ours.false_alarms.items():
        yield Bar(f"{name}: false alarms per 100,000", found, PER_100K)
    if ours.flights:
        yield Bar("flights: alarms per 100,000", ours.flights.per_100k, ON_FLIGHTS)
    for null in nulls:
        if null.stream != UNBARRED:
            yield Bar(f"{null.features} features, {null.stream}: alarms per 100,000", null.per_100k[OURS], PER_100K)
    yield Bar("0.25 sd in 1 of 20 features: longest delay, records", shift.most[OURS], SHIFT_WITHIN)
    yield Bar("0.25 sd in 1 of 20 features: missed", shift.missed[OURS], 0)


def _notes(records: int, *, real: bool) -> list[str]:
    notes = [
        "alarms are counted before any latch or cool-down: a detector begins anew after each",
        "the dummies alarm at the rate of our detector on flights, and at that allowed to our feature monitor",
    ]
    if river_is_there():
        notes.append(f"KSWIN: one run of each stream, {SLOW:,} labels about a change, as it takes so long")
    else:
        notes.append("river is not installed: its ADWIN and KSWIN were not run, DDM and Page-Hinkley are as published")
    if records < FULL:
        notes.append(
            f"in {records:,} records one alarm by chance is {100_000 / records:g} per 100,000: a full run has {FULL:,}"
        )
    if not real:
        notes.append("flights were not run")
    return notes
