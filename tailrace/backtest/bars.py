"""What our policy must reach on each stream; where the figures come from is in `docs/backtest.md`."""

from typing import Protocol

import msgspec


class Bar(msgspec.Struct, frozen=True):
    """One bar: at most (`least` False) or at least so much is wanted."""

    name: str
    wanted: float
    found: float
    least: bool

    @property
    def ok(self) -> bool:
        """Whether it is reached."""
        return self.found >= self.wanted if self.least else self.found <= self.wanted


class HasGate(Protocol):
    """What the gate cost."""

    @property
    def cost(self) -> float: ...  # noqa: D102 - an attribute
    @property
    def shuffled(self) -> int: ...  # noqa: D102 - the same
    @property
    def refused(self) -> int: ...  # noqa: D102 - the same


class HasFigures(Protocol):
    """The figures of a report that bars are about."""

    @property
    def stream(self) -> str: ...  # noqa: D102 - an attribute
    @property
    def gain(self) -> float: ...  # noqa: D102 - the same
    @property
    def retrains(self) -> float: ...  # noqa: D102 - the same
    @property
    def metric(self) -> float: ...  # noqa: D102 - the same
    @property
    def static(self) -> float: ...  # noqa: D102 - the same
    @property
    def by_alarm_per_100k(self) -> float: ...  # noqa: D102 - the same
    @property
    def gate(self) -> HasGate | None: ...  # noqa: D102 - the same


_GAIN, _RETRAINS = "share of the oracle's gain", "retrains"
# Of each figure what is wanted, and whether at least or at most.
_WANTED: dict[str, tuple[tuple[str, float, bool], ...]] = {
    "flights_late": ((_GAIN, 0.85, True), (_RETRAINS, 45, False), ("AUC", 0.710, True)),
    "flights_air": (("RMSE", 11.1, False), (_RETRAINS, 22, False)),
    "agrawal_abrupt": ((_GAIN, 0.95, True), (_RETRAINS, 12, False)),
    "agrawal_gradual": ((_GAIN, 0.95, True), (_RETRAINS, 12, False)),
    "sea_abrupt": ((_GAIN, 0.82, True), (_RETRAINS, 12, False)),
    "no_drift": (("retrains by alarm in 100,000 records", 1.0, False), ("accuracy below static's", 0.002, False)),
}
_COST = 0.02


def bars_of(report: HasFigures) -> tuple[Bar, ...]:
    """The bars of the report's stream; none for a stream of one's own but those of the gate, where it was looked at."""
    found = {
        _GAIN: report.gain, _RETRAINS: report.retrains, "AUC": report.metric, "RMSE": report.metric,
        "retrains by alarm in 100,000 records": report.by_alarm_per_100k,
        "accuracy below static's": report.static - report.metric,
    }  # fmt: skip
    bars = [Bar(name, wanted, found[name], least) for name, wanted, least in _WANTED.get(report.stream, ())]
    if report.gate is not None:
        if report.stream != "no_drift":  # where there is nothing to gain, nothing can be lost
            bars.append(Bar("gain that the gate costs", _COST, report.gate.cost, least=False))
        missed = report.gate.shuffled - report.gate.refused
        bars.append(Bar("challengers of shuffled labels let through", 0, missed, least=False))
    return tuple(bars)
