"""What changes in a simulated stream, and when: drifts on schedule, and the scenarios that have a name."""

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.core.errors import UserError

Kind = Literal["covariate", "prior", "concept", "unit_error", "missing_field", "new_category"]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Drift(msgspec.Struct, frozen=True):
    """One change, which stays to the end of the stream.

    `start` and `end` are shares of the stream's records (0..1). Abrupt: both are equal. Gradual: between them the
    probability that a record is of the new regime rises from 0 to 1. An empty `field` and a `size` of 0 leave to
    the pipeline's generate.py which field is touched, and how much.
    """

    kind: Kind
    start: float
    end: float
    field: str = ""
    size: float = 0.0

    def strength(self, n: int) -> Floats:
        """The probability of the new regime at each of n records: (n,) in 0..1."""
        place = np.arange(n) / n
        if self.end <= self.start:
            return (place >= self.start).astype(np.float64)
        return np.clip((place - self.start) / (self.end - self.start), 0.0, 1.0)


class Scenario(msgspec.Struct, frozen=True):
    """Drifts under one name."""

    name: str
    text: str
    drifts: tuple[Drift, ...] = ()

    def strength(self, kind: Kind, n: int) -> Floats:
        """The probability that a change of this kind acts on each of n records: (n,) in 0..1; 0 where none does."""
        parts = [drift.strength(n) for drift in self.drifts if drift.kind == kind]
        return np.max(parts, axis=0) if parts else np.zeros(n)

    def strikes(self, kind: Kind, n: int, rng: np.random.Generator) -> Flags:
        """Which of n records a change of this kind acts on: (n,), drawn by its strength."""
        # Drawn in any case, so that the records before a change are those of the same seed without it.
        draws = rng.random(n)
        return draws < self.strength(kind, n)

    def size(self, kind: Kind, default: float) -> float:
        """How large a change of this kind is: as the drift says, else the pipeline's own default."""
        return next((drift.size for drift in self.drifts if drift.kind == kind and drift.size), default)


def _named(name: str, text: str, *drifts: Drift) -> Scenario:
    return Scenario(name, text, drifts)


# Changes come after the first third, on which a history is trained.
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        _named("stationary", "nothing changes"),
        _named(
            "covariate_abrupt", "the inputs change at once; the truth given them stays", Drift("covariate", 0.5, 0.5)
        ),
        _named("covariate_gradual", "the same, over three tenths of the stream", Drift("covariate", 0.4, 0.7)),
        _named(
            "prior", "the shares of the classes (or the level of the target) change at once", Drift("prior", 0.5, 0.5)
        ),
        _named("concept", "the same inputs mean something else from one moment on", Drift("concept", 0.5, 0.5)),
        _named("unit_error", "a producer sends a field in another unit", Drift("unit_error", 0.6, 0.6)),
        _named("missing_field", "a producer stops sending a field", Drift("missing_field", 0.6, 0.6)),
        _named("new_category", "a category that training never saw, ever more often", Drift("new_category", 0.4, 0.8)),
        _named(
            "mixed",
            "gradual covariate drift, then another concept, then a missing field",
            Drift("covariate", 0.35, 0.5),
            Drift("concept", 0.6, 0.6),
            Drift("missing_field", 0.8, 0.8),
        ),
    )
}


def scenario_named(name: str) -> Scenario:
    """The scenario of a name.

    Raises:
        UserError: there is none.
    """
    if name not in SCENARIOS:
        raise UserError(f"no scenario {name}", remedy=f"choose one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
