"""Errors and losses of a model that is never retrained, on streams with a known change, without one, and on flights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from tailrace.bench.drift_streams import Codes, Floats, agrawal, sea
from tailrace.bench.flown import Places, load

Say = Callable[[str], None]
TRAINED, REFERENCE, BEFORE, AFTER = 10_000, 5_000, 15_000, 10_000  # records; the change is after REFERENCE + BEFORE
_LEAST = 1e-7  # a probability; what a model calls impossible is not infinitely wrong


@dataclass(frozen=True, slots=True)
class Errors:
    """What a model did, label by label: `errors` 0 or 1, `losses` in nats."""

    errors: NDArray[np.int8]
    losses: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.errors)

    def part(self, begin: int, end: int | None = None) -> "Errors":
        """Some of them."""
        return Errors(self.errors[begin:end], self.losses[begin:end])


@dataclass(frozen=True, slots=True)
class Stream:
    """A reference of the model's errors, what is watched after it, and after how many labels of that it changes.

    `days` is the day of each watched label, on flights.
    """

    name: str
    reference: Errors
    watched: Errors
    change: int | None = None
    days: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A concept that becomes another one; `wanted` is the longest mean delay, in records."""

    name: str
    make: Callable[[int, Any, np.random.Generator], tuple[Floats, Codes]]
    before: int
    after: int
    wanted: int


CHANGES = (
    Change("SEA 0 to 2, +5 points", sea, 0, 2, 1_000),
    Change("SEA 2 to 3, +16 points", sea, 2, 3, 200),
    Change("Agrawal 0 to 3, +49 points", agrawal, 0, 3, 50),
)
STATIONARY = (Change("SEA 2", sea, 2, 2, 0), Change("Agrawal 0", agrawal, 0, 0, 0))


def changing(kind: Change, seed: int) -> Stream:
    """A stream that changes; where in a block of labels, the seed says."""
    rng = np.random.default_rng([seed, kind.before, kind.after])
    model = classifier().fit(*kind.make(TRAINED, kind.before, rng))
    shift = int(rng.integers(25))
    before = _errors(model, *kind.make(REFERENCE + BEFORE - shift, kind.before, rng))
    after = _errors(model, *kind.make(AFTER + shift, kind.after, rng))
    watched = Errors(
        np.concatenate([before.errors[REFERENCE:], after.errors]),
        np.concatenate([before.losses[REFERENCE:], after.losses]),
    )
    return Stream(kind.name, before.part(0, REFERENCE), watched, BEFORE - shift)


def stationary(kind: Change, records: int, seed: int) -> Stream:
    """A stream that stays as it is, of so many watched records, under a model and with a reference of its own."""
    rng = np.random.default_rng([seed, kind.before, 99])
    model = classifier().fit(*kind.make(TRAINED, kind.before, rng))
    seen = _errors(model, *kind.make(REFERENCE + records, kind.before, rng))
    return Stream(kind.name, seen.part(0, REFERENCE), seen.part(REFERENCE))


def flights(say: Say) -> Stream:
    """The flights of 2013 in the order in which they landed, after a model of the first 60 days.

    Its reference is what a model of the first three quarters of those days did on the last one, as a judged holdout.

    Raises:
        UserError: the history of flights cannot be had.
    """
    flown = load(say)

    def judged(fitted: Places, seen: Places) -> tuple[Errors, Places]:
        model = classifier(flown.categories).fit(flown.matrix[fitted], flown.late[fitted])
        order = seen[np.argsort(flown.landed[seen], kind="stable")]
        return _errors(model, flown.matrix[order], flown.late[order]), order

    reference, _ = judged(flown.early, flown.held)
    watched, order = judged(flown.learned, flown.later)
    return Stream("flights", reference, watched, days=flown.days[order])


def worsened(stream: Stream, rise: float, place: int, seed: int) -> Stream:
    """A stretch of a real stream in which, from a place on, so many more of the labels are other than they were.

    Args:
        stream: the whole of it.
        rise: of the share of errors.
        place: label at which it begins.
        seed: says which labels.
    """
    begin, end = max(place - BEFORE, 0), place + 3 * AFTER
    part = stream.watched.part(begin, end)
    share = rise / (1 - float(part.errors.mean()))
    turned = (np.random.default_rng(seed).random(len(part)) < share) & (part.errors == 0)
    turned[: place - begin] = False
    other = -np.log(np.clip(1 - np.exp(-part.losses), _LEAST, 1.0))
    seen = Errors(np.where(turned, 1, part.errors).astype(np.int8), np.where(turned, other, part.losses))
    return Stream(f"flights, +{rise * 100:.0f} points", stream.reference, seen, place - begin)


def classifier(categories: list[int] | None = None) -> Any:
    """The model of every bench of drift, not fitted."""
    return HistGradientBoostingClassifier(
        max_iter=60, early_stopping=False, random_state=0, categorical_features=categories
    )


def _errors(model: Any, x: Floats, y: Codes) -> Errors:
    late = model.predict_proba(x)[:, 1]
    true = np.clip(np.where(y == 1, late, 1 - late), _LEAST, 1.0)
    return Errors(((late >= 0.5) != (y == 1)).astype(np.int8), -np.log(true))  # noqa: PLR2004 - the likelier class
