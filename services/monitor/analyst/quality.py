"""How good the predictions were that have their labels: every figure with its interval, and how much it stands on.

A figure that cannot be said is unknown, with the reason; it is never 0. Intervals are of 95 %. Where there are seven
blocks or more (windows; else the partitions of the windows) they say how much figures vary from block to block, which
bursts of errors make more than chance would; below that, labels are taken for independent.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from services.monitor.analyst import class_figures as c
from services.monitor.analyst import intervals
from services.monitor.analyst import number_figures as r
from services.monitor.analyst.delays import DelayQuantile, quantiles
from services.monitor.analyst.panes import Pane, bare, together
from services.monitor.analyst.tally import Tally, Values, drawn, tally
from shared.core.monitor_records import Sums
from shared.core.quality import Task

BLOCKS = 7
_ONE = 1.0
NO_LABELS = "no label has come"
ONE_CLASS = "only one class came"
UNLOGGED = "values or truths at or below -1 have no logarithm"
FEW_BLOCKS = f"no interval: it takes {BLOCKS} windows or partitions with labels"


class Measured(msgspec.Struct, frozen=True):
    """One figure of n labels; `value` is None where it is unknown, the limits where no interval can be given.

    `source` says how the interval was made, `why` what is unknown.
    """

    figure: str
    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    source: str = ""
    why: str = ""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """A version over some windows, [since, until) in ms of event time.

    `coverage` is the share of the `observed` that is `labelled`. `closed`: no label can come any more; `complete`:
    nothing is lacking that retention took.
    """

    version: str
    shadow: bool
    since: int
    until: int
    observed: int
    labelled: int
    coverage: float | None
    delays: tuple[DelayQuantile, ...]
    figures: dict[str, Measured]
    closed: bool
    complete: bool


Figure = Callable[[Tally], Values]
_CLASSES: dict[str, Figure] = {
    "balanced_accuracy": c.balanced_accuracy, "macro_f1": c.macro_f1, "log_loss": c.log_loss, "ece": c.ece,
}  # fmt: skip
_BINARY: dict[str, Figure] = {"auc": c.auc, "brier": c.brier}
_NUMBERS: dict[str, Figure] = {"rmse": r.rmse, "mae": r.mae, "rmsle": r.rmsle}
_ERRORS: dict[str, Figure] = {
    "balanced_accuracy": c.balanced_error, "macro_f1": c.macro_f1_error, "ece": c.ece_error, "mae": r.mae_error,
}  # fmt: skip
_BINARY_ERRORS: dict[str, Figure] = {
    "log_loss": lambda of: c.binary_errors(of)[0],
    "brier": lambda of: c.binary_errors(of)[1],
}
_UNBOUNDED = {"log_loss", "rmse", "mae", "rmsle"}


def quality(panes: Sequence[Pane], task: Task, classes: int, within: float = 0.1) -> Quality:
    """What labels say of one version in one role.

    Args:
        panes: its windows, one or more.
        task: of the pipeline.
        classes: how many it has; 0 for a regression.
        within: the tolerance of a regression, as the scorecards were made with.

    Raises:
        ValueError: there are no windows, or windows of several versions.
    """
    if len({(pane.version, pane.shadow) for pane in panes}) != 1:
        raise ValueError("quality is of the windows of one version in one role")
    sums = together(bare(pane.sums) for pane in panes)
    return Quality(
        version=panes[0].version, shadow=panes[0].shadow,
        since=min(pane.window for pane in panes), until=max(pane.until for pane in panes),
        observed=sums.n, labelled=sums.labelled, coverage=sums.labelled / sums.n if sums.n else None,
        delays=quantiles(sums.delays), figures=measured(sums, blocks(panes), task, classes, within),
        closed=all(pane.closed for pane in panes), complete=all(pane.complete for pane in panes),
    )  # fmt: skip


def blocks(panes: Sequence[Pane]) -> list[Sums]:
    """What figures are compared between: windows with labels, else the partitions of windows; none if too few."""
    windows = [pane.sums for pane in panes if pane.sums.labelled]
    parts = [part for pane in panes for part in pane.parts if part.labelled]
    return next((found for found in (windows, parts) if len(found) >= BLOCKS), [])


def measured(sums: Sums, blocks: Sequence[Sums], task: Task, classes: int, within: float = 0.1) -> dict[str, Measured]:
    """Every figure of a task, by its name in `shared.core.quality`; a share within x % is called `within_x`.

    Args:
        sums: of all labels.
        blocks: the same divided; empty for labels that are taken for independent.
        task: of the pipeline.
        classes: how many it has.
        within: the tolerance of a regression.
    """
    whole = tally([sums], classes)
    parts = tally(blocks, classes) if blocks else None
    share = f"within_{within * 100:g}" if task == "regression" else "accuracy"
    figures = _NUMBERS if task == "regression" else _CLASSES | (_BINARY if task == "binary" else {})
    errors = _ERRORS | (_BINARY_ERRORS if task == "binary" else {})
    found = {share: _share(share, whole, parts)}
    draws = drawn(parts, intervals.weights(len(blocks))) if parts else None
    for name, figure in figures.items():
        found[name] = _figure(name, whole, figure, errors, draws, len(blocks))
    return found


def _share(name: str, whole: Tally, parts: Tally | None) -> Measured:
    n = int(whole.labelled[0])
    if not n:
        return Measured(name, 0, why=NO_LABELS)
    hits = float(whole.labelled[0] - whole.errors[0])
    effect = intervals.design_effect(parts.labelled - parts.errors, parts.labelled) if parts else _ONE
    source = "Wilson" if effect == _ONE else f"Wilson, design effect {effect:.3g}"
    return Measured(name, n, hits / n, *intervals.wilson(hits, n, effect), source)


def _figure(
    name: str, whole: Tally, figure: Figure, errors: Mapping[str, Figure], draws: Tally | None, blocks: int
) -> Measured:
    n, value = int(whole.labelled[0]), float(figure(whole)[0])
    if not n or np.isnan(value):
        return Measured(name, n, why=_why(name, n))
    if draws is not None:
        values = figure(draws)
        known = values[~np.isnan(values)]
        if len(known) * 10 >= len(values) * 9:
            limits = intervals.around(value, float(known.std(ddof=1)), blocks - 1)
            return _limited(name, n, value, limits, f"bootstrap of {blocks} blocks")
    if name == "auc":
        positives = float(whole.hits.sum())
        return _limited(name, n, value, intervals.ranked(value, positives, n - positives), "Newcombe")
    if name in errors:
        return _limited(name, n, value, intervals.around(value, float(errors[name](whole)[0])), "delta method")
    return Measured(name, n, value, why=FEW_BLOCKS)


def _limited(name: str, n: int, value: float, limits: tuple[float, float], source: str) -> Measured:
    most = np.inf if name in _UNBOUNDED else 1.0
    return Measured(name, n, value, max(limits[0], 0.0), min(limits[1], float(most)), source)


def _why(name: str, n: int) -> str:
    if not n:
        return NO_LABELS
    return UNLOGGED if name == "rmsle" else ONE_CLASS
