"""Feature monitors on features that do not drift, and on a shift of a quarter of a deviation in one of twenty."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from services.monitor.analyst.calibration import Calibration, DriftTerms, Panes, calibrate, compare
from services.monitor.analyst.drift import psi
from shared.core.bundle import Column
from shared.core.reference import profile
from shared.core.summaries import Bins, bins_of, count
from tailrace.bench.drift_streams import NULLS, Floats, Null, null

Say = Callable[[str], None]
PANE, SPAN, REFERENCE = 1_000, 5, 100  # records; panes that make a window; panes of the reference
SAMPLE = 10  # panes of the reference whose records the tests have
WIDTHS = (20, 200)
SHIFT, UNTIL = 0.25, 6 * PANE * SPAN  # deviations; records after which a shift counts as missed
ALLOWED = 1 / 100_000  # alarms a record: those of the dummy, which has the rate that is allowed to ours
TESTED = 200  # windows that the tests see: each takes a millisecond a feature
OURS, KS, BONFERRONI, PSI, DUMMY = "ours", "KS, any p < 0.05", "KS, Bonferroni", "PSI > 0.2", "a dummy, at random"


class NullRow(msgspec.Struct, frozen=True):
    """Alarms per 100,000 records without drift, by monitor; `records` by monitor, as the tests see fewer windows."""

    stream: str
    features: int
    per_100k: dict[str, float]
    records: dict[str, int]


class ShiftRow(msgspec.Struct, frozen=True):
    """Records from the shift to the end of the first alarmed window, by monitor, over seeds; and who missed it."""

    shift: float
    mean: dict[str, float]
    most: dict[str, float]
    missed: dict[str, int]
    seeds: int


@dataclass(slots=True)
class _Monitors:
    """All monitors after their reference; fed pane by pane."""

    bins: Bins
    sample: Floats
    whole: list[NDArray[np.int64]]
    calibration: Calibration
    terms: DriftTerms
    names: Sequence[str]
    recent: list[Floats] = field(default_factory=list)
    counts: list[NDArray[np.int64]] = field(default_factory=list)
    drifted: bool = False

    def ours(self, pane: Floats) -> bool | None:
        """Whether the last panes alarm; None while there is no whole window."""
        self.counts = [*self.counts[1 - SPAN :], count(self.bins, pane)]
        if len(self.counts) < SPAN:
            return None
        total = np.sum(self.counts, axis=0)
        now = {name: self.bins.of(total, j)[0].tolist() for j, name in enumerate(self.names)}
        return compare(self.calibration, now, self.terms)[0].score >= 1

    def others(self, pane: Floats, *, tests: bool) -> dict[str, bool]:
        """What the others say of a window of their own, once in `SPAN` panes; nothing else."""
        self.recent.append(pane)
        if len(self.recent) < SPAN:
            return {}
        window, self.recent = np.concatenate(self.recent), []
        found = count(self.bins, window)
        indices = [float(psi(was, self.bins.of(found, j)[0])) for j, was in enumerate(self.whole)]
        said = {PSI: max(indices) > 0.2}  # noqa: PLR2004 - the usual rule
        if tests:
            p = min(float(ks_2samp(a, b, method="asymp").pvalue) for a, b in zip(self.sample.T, window.T, strict=True))
            said |= {KS: p < 0.05, BONFERRONI: p < 0.05 / window.shape[1]}  # noqa: PLR2004 - the usual level
        return said


def measure_nulls(records: int, terms: DriftTerms, widths: Sequence[int], say: Say) -> list[NullRow]:
    """Every null stream in every width."""
    rows = []
    for d in widths:
        for kind in NULLS:
            say(f"features, {kind}, {d}: {records:,} records")
            rows.append(_null_row(kind, d, records, terms))
    return rows


def measure_shift(seeds: int, terms: DriftTerms, say: Say, d: int = WIDTHS[0]) -> ShiftRow:
    """A shift of one feature of d at any place in a window, on independent records."""
    say(f"a shift of {SHIFT} deviations in 1 of {d}: {seeds} seeds")
    delays: dict[str, list[float]] = {}
    missed: dict[str, int] = {}
    for seed in range(seeds):
        for name, delay in _shifted(d, terms, np.random.default_rng([seed, 5])).items():
            delays.setdefault(name, []).append(UNTIL if delay is None else delay)
            missed[name] = missed.get(name, 0) + (delay is None)
    mean = {name: round(float(np.mean(found)), 1) for name, found in delays.items()}
    return ShiftRow(SHIFT, mean, {name: max(found) for name, found in delays.items()}, missed, seeds)


def _prepared(stream: Callable[[], Floats], d: int, terms: DriftTerms) -> _Monitors:
    reference = [stream() for _ in range(REFERENCE)]
    names = [f"f{j}" for j in range(d)]
    columns = [Column(name, "numeric") for name in names]
    sample = np.concatenate(reference[:SAMPLE])
    bins = bins_of(columns, profile(columns, sample, [0.5], [0.5]).features)
    panes = np.array([count(bins, pane) for pane in reference])
    features: Mapping[str, Panes] = {
        name: Panes(tuple(tuple(bins.of(pane, j)[0].tolist()) for pane in panes)) for j, name in enumerate(names)
    }
    found = calibrate(features, SPAN, terms)
    if found is None:
        raise AssertionError("the reference of the bench is long enough")
    total = panes.sum(axis=0)
    return _Monitors(bins, sample, [bins.of(total, j)[0] for j in range(d)], found, terms, names)


def _null_row(kind: Null, d: int, records: int, terms: DriftTerms) -> NullRow:
    rng = np.random.default_rng([d, NULLS.index(kind)])
    stream = null(kind, PANE, d, rng)
    monitors = _prepared(lambda: next(stream), d, terms)
    alarms, seen = {OURS: 0, DUMMY: 0}, {OURS: 0, DUMMY: 0}
    dice = np.random.default_rng([d, 9])
    before = False
    for i, pane in enumerate(islice(stream, records // PANE)):
        now = bool(monitors.ours(pane))
        alarms[OURS] += now and not before
        alarms[DUMMY] += bool(dice.random() < PANE * ALLOWED)
        seen = {**seen, OURS: seen[OURS] + PANE, DUMMY: seen[DUMMY] + PANE}
        before = now
        for name, said in monitors.others(pane, tests=i // SPAN < TESTED * WIDTHS[0] // d).items():
            alarms[name] = alarms.get(name, 0) + said
            seen[name] = seen.get(name, 0) + SPAN * PANE
    per = {name: round(found / seen[name] * 1e5, 3) for name, found in alarms.items() if seen[name]}
    return NullRow(kind, d, per, seen)


def _shifted(d: int, terms: DriftTerms, rng: np.random.Generator) -> dict[str, float | None]:
    stream = null("independent", PANE, d, rng)
    monitors = _prepared(lambda: next(stream), d, terms)
    first = int(rng.integers(2 * SPAN * PANE, 3 * SPAN * PANE))
    names = (OURS, KS, BONFERRONI, PSI, DUMMY)
    delays: dict[str, float | None] = dict.fromkeys(names)
    for i, pane in enumerate(islice(stream, (first + UNTIL) // PANE)):
        begin, end = i * PANE, (i + 1) * PANE
        pane[max(first - begin, 0) :, 0] += np.float32(SHIFT) if end > first else np.float32(0)
        said = {OURS: bool(monitors.ours(pane)), DUMMY: bool(rng.random() < PANE * ALLOWED)}
        for name, alarm in (said | monitors.others(pane, tests=True)).items():
            if alarm and end > first and delays[name] is None:
                delays[name] = end - first
    return delays
