"""The detectors of `tailrace bench drift`: each tells after which labels it alarms, and begins anew after each alarm.

Ours see blocks of 25 labels, as in a running monitor. The others see each error, with the defaults of their library;
where `river` is not installed, DDM and Page-Hinkley are as published, and KSWIN is not run.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from services.monitor.analyst import adwin
from services.monitor.analyst.cusum import Level, Member, Terms, bank, highest, step
from shared.core.baseline import UNIT, Kind, baseline
from tailrace.bench.drift_errors import Errors, Stream

BLOCK = 25
SLOW = 6_000  # labels that KSWIN is given of each stream: it takes some 2 ms for each
Run = Callable[[Stream], list[int]]


class Reader(Protocol):
    """What every other detector is: fed error by error, it says when it alarms, and begins anew by itself."""

    drift_detected: bool

    def update(self, x: Any) -> Any:
        """Take one error, 0 or 1."""


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector. `run` gives after how many watched labels it alarms; `longest` is how many of them it is given."""

    name: str
    run: Run
    longest: int | None = None


def detectors(terms: Terms) -> list[Detector]:
    """Ours first, then the others."""
    ours = [
        Detector("CUSUM of errors and loss (ours)", lambda stream: _banks(stream, ("errors", "loss"), terms)),
        Detector("CUSUM of errors", lambda stream: _banks(stream, ("errors",), terms)),
        Detector("CUSUM of loss", lambda stream: _banks(stream, ("loss",), terms)),
        Detector("ADWIN of blocks", lambda stream: _window(stream, terms.delta, spread=False)),
        Detector("ADWIN of blocks, with reference", lambda stream: _window(stream, terms.delta, spread=True)),
    ]
    return [*ours, *_others()]


def river_is_there() -> bool:
    """Whether the library of the stock detectors can be imported."""
    try:
        import_module("river.drift")
    except ImportError:
        return False
    return True


def blocks(seen: Errors, kind: Kind) -> list[int]:
    """Sums of whole blocks, in the units of an error block."""
    n = len(seen) // BLOCK * BLOCK
    if kind == "errors":
        return [int(total) for total in seen.errors[:n].reshape(-1, BLOCK).sum(axis=1, dtype=np.int64)]
    return [int(total) for total in np.rint(seen.losses[:n] * UNIT).astype(np.int64).reshape(-1, BLOCK).sum(axis=1)]


def _banks(stream: Stream, kinds: Sequence[Kind], terms: Terms) -> list[int]:
    banks = [bank(baseline(kind, blocks(stream.reference, kind), BLOCK), terms) for kind in kinds]
    scales = [UNIT if kind == "loss" else 1 for kind in kinds]
    series = zip(*(blocks(stream.watched, kind) for kind in kinds), strict=True)
    return list(_crossings(banks, scales, series, terms.most))


def _crossings(
    banks: Sequence[Sequence[Member]], scales: Sequence[int], series: Iterator[tuple[int, ...]], most: float
) -> Iterator[int]:
    levels: list[list[Level]] = [[] for _ in banks]
    for i, totals in enumerate(series, 1):
        for k, (members, scale, total) in enumerate(zip(banks, scales, totals, strict=True)):
            levels[k] = step(members, levels[k], (BLOCK, total / scale, i), most)
        if any(highest(members, level)[0] >= 1 for members, level in zip(banks, levels, strict=True)):
            yield i * BLOCK
            levels = [[] for _ in banks]


def _window(stream: Stream, delta: float, *, spread: bool) -> list[int]:
    known = baseline("errors", blocks(stream.reference, "errors"), BLOCK)
    wide = known.spread if spread else 1.0
    window: adwin.Window = ()
    found = []
    for i, errors in enumerate(blocks(stream.watched, "errors"), 1):
        window, rose = adwin.add(window, BLOCK, errors, delta=delta, spread=wide)
        if rose:
            found.append(i * BLOCK)
    return found


def _others() -> list[Detector]:
    if not river_is_there():
        return [Detector("DDM, as published", _reads(Ddm)), Detector("Page-Hinkley, as published", _reads(PageHinkley))]
    drift, binary = import_module("river.drift"), import_module("river.drift.binary")
    return [
        Detector("ADWIN, river", _reads(drift.ADWIN)),
        Detector("DDM, river", _reads(binary.DDM)),
        Detector("Page-Hinkley, river", _reads(drift.PageHinkley)),
        Detector("KSWIN, river", _reads(lambda: drift.KSWIN(seed=1)), SLOW),
    ]


def _reads(make: Callable[[], Reader]) -> Run:
    """Feed it the errors of the reference, then those that are watched; count what it says of the latter."""

    def run(stream: Stream) -> list[int]:
        reader = make()
        for error in stream.reference.errors.tolist():
            reader.update(error)
        found = []
        for i, error in enumerate(stream.watched.errors.tolist(), 1):
            reader.update(error)
            if reader.drift_detected:
                found.append(i)
        return found

    return run


class Ddm:
    """Gama, Medas, Castillo and Rodrigues, "Learning with drift detection" (2004): three deviations above the best."""

    def __init__(self) -> None:
        self.drift_detected = False
        self._begin()

    def _begin(self) -> None:
        self._n, self._wrong, self._least, self._mean, self._deviation = 0, 0, math.inf, 0.0, 0.0

    def update(self, x: int) -> None:
        """Take one error, 0 or 1."""
        if self.drift_detected:
            self._begin()
        self._n += 1
        self._wrong += x
        mean = self._wrong / self._n
        deviation = math.sqrt(mean * (1 - mean) / self._n)
        enough = self._n > 30  # noqa: PLR2004 - as published
        if enough and mean + deviation <= self._least:
            self._least, self._mean, self._deviation = mean + deviation, mean, deviation
        self.drift_detected = enough and mean + deviation > self._mean + 3 * self._deviation


class PageHinkley:
    """Page (1954), with the usual delta 0.005 and threshold 50: only rises are looked for."""

    def __init__(self, delta: float = 0.005, threshold: float = 50.0) -> None:
        self._delta, self._threshold = delta, threshold
        self.drift_detected = False
        self._begin()

    def _begin(self) -> None:
        self._n, self._mean, self._sum, self._least = 0, 0.0, 0.0, math.inf

    def update(self, x: int) -> None:
        """Take one error, 0 or 1."""
        if self.drift_detected:
            self._begin()
        self._n += 1
        self._mean += (x - self._mean) / self._n
        self._sum = 0.9999 * self._sum + x - self._mean - self._delta
        self._least = min(self._least, self._sum)
        self.drift_detected = self._n >= 30 and self._sum - self._least > self._threshold  # noqa: PLR2004 - as usual
