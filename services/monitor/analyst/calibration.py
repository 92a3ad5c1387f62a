"""Which distances are unusual: thresholds from the reference's own windows, of the length that is watched.

Features that depend on their past, or follow the day, differ from window to window without any drift. So each window
of the reference is compared with the rest of it, as a later window is with all of it: what is common there is no news
later. Each feature is measured in units of its own usual distance, so that a restless one hides no other; the
threshold is on the largest of all features, so that two hundred alarm no more often than one.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.monitor.analyst.drift import distance, psi

Counts = NDArray[np.int64]
Values = NDArray[np.float64]
_NONE = 1e-12  # a distance of nothing, to divide by


class DriftTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All parameters of the feature monitor.

    `sigmas`: standard deviations of the reference windows' largest distance that the threshold lies above their
    mean: a largest value (Gumbel, 1935) gets there once in 2,000 windows, and the deviation itself is known from a
    few windows only. `least_psi`, `least_distance`: what is smaller matters to nobody (a tenth of a standard
    deviation). `windows`: fewer reference windows calibrate nothing; of fewer than `minimum` records nothing is said.
    `calm`: a drift is over below this share of the threshold.
    """

    sigmas: float = 5.5
    least_psi: float = 0.01
    least_distance: float = 0.04
    windows: int = 10
    minimum: int = 200
    calm: float = 0.8


class Panes(msgspec.Struct, frozen=True):
    """Counts of one feature over the reference's panes, in their order: (panes, b); `ordered`: bins of a number."""

    counts: tuple[tuple[int, ...], ...]
    ordered: bool = True


class Usual(msgspec.Struct, frozen=True):
    """One feature: the counts of its whole reference, its usual PSI and distance, and records a window had."""

    counts: tuple[int, ...]
    ordered: bool
    psi: float
    distance: float
    n: float


class Calibration(msgspec.Struct, frozen=True):
    """Thresholds on the largest PSI and distance of all features, in units of what is usual for each."""

    features: dict[str, Usual]
    psi: float
    distance: float


class Drift(msgspec.Struct, frozen=True):
    """One feature in one window. `score`: the larger of PSI and distance in units of its threshold (1: an alarm)."""

    feature: str
    n: int
    psi: float
    distance: float
    score: float


def calibrate(features: Mapping[str, Panes], span: int, terms: DriftTerms) -> Calibration | None:
    """Learn what is usual.

    Args:
        features: the panes of each, as many for all.
        span: panes that make a window.
        terms: the parameters.

    Returns:
        None where the reference has too few windows: nothing can be said of drift then.
    """
    panes = min((len(feature.counts) for feature in features.values()), default=0)
    if span < 1 or panes < span * terms.windows:
        return None
    usual, large = dict[str, Usual](), list[tuple[Values, Values]]()
    for name, feature in features.items():
        whole = np.asarray(feature.counts, dtype=np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(whole, span, axis=0).sum(axis=-1)
        rest = whole.sum(axis=0) - windows
        found = psi(rest, windows), distance(rest, windows, ordered=feature.ordered)
        large.append((_in_usual(found[0], span), _in_usual(found[1], span)))
        usual[name] = Usual(
            tuple(whole.sum(axis=0).tolist()),
            feature.ordered,
            psi=max(float(found[0].mean()), _NONE),
            distance=max(float(found[1].mean()), _NONE),
            n=float(windows.sum(axis=-1).mean()),
        )
    largest = [np.max([pair[i] for pair in large], axis=0) for i in range(2)]
    limits = [float(values.mean() + terms.sigmas * values.std(ddof=1)) for values in largest]
    return Calibration(usual, *limits)


def compare(calibration: Calibration, current: Mapping[str, Sequence[int]], terms: DriftTerms) -> list[Drift]:
    """Every feature of a window beside its reference, the largest score first; one of too few records is left out.

    Args:
        calibration: of the reference.
        current: counts of each feature over its reference bins, missing values left out.
        terms: the parameters.
    """
    found = [
        _compared(name, usual, current[name], (calibration.psi, calibration.distance), terms)
        for name, usual in calibration.features.items()
        if sum(current.get(name, ())) >= max(terms.minimum, 1)
    ]
    return sorted(found, key=lambda drift: (-drift.score, drift.feature))


def stands(before: bool, drifts: Sequence[Drift], terms: DriftTerms) -> bool:  # noqa: FBT001 - the state itself
    """Whether features drift, after a window: it begins at the threshold, and ends only well below it."""
    score = max((drift.score for drift in drifts), default=0.0)
    return score >= (terms.calm if before else 1.0)


def _in_usual(sizes: Values, span: int) -> Values:
    """Each window's distance in units of the mean of the others, those that overlap it left out.

    A later window is no part of what is usual either: with its own size in the unit, large ones would look smaller.
    """
    sums, windows = np.concatenate([[0.0], np.cumsum(sizes)]), np.arange(len(sizes))
    first, last = np.maximum(windows - span + 1, 0), np.minimum(windows + span, len(sizes))
    others = (sums[-1] - (sums[last] - sums[first])) / (len(sizes) - (last - first))
    return np.asarray(sizes / np.maximum(others, _NONE))


def _compared(name: str, usual: Usual, counts: Sequence[int], limits: tuple[float, float], terms: DriftTerms) -> Drift:
    n = sum(counts)
    index = float(psi(usual.counts, counts))
    apart = float(distance(usual.counts, counts, ordered=usual.ordered))
    # A window with fewer records than usual differs more by chance: PSI with 1/n, a distance with its root.
    thin = max(usual.n / n, 1.0)
    psi_limit = max(limits[0] * usual.psi * thin, terms.least_psi)
    distance_limit = max(limits[1] * usual.distance * thin**0.5, terms.least_distance)
    return Drift(name, n, index, apart, max(index / psi_limit, apart / distance_limit))
