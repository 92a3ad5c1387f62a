"""Figures and predictions in words, as fits the task."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.core.gate import GateFigures
from shared.core.pipeline import PipelineSpec

_USUAL = {"binary": ("auc", "log_loss"), "multiclass": ("macro_f1", "accuracy"), "regression": ("rmse", "mae")}
_NAMES = {"auc": "AUC", "macro_f1": "macro F1", "rmse": "RMSE", "mae": "MAE", "rmsle": "RMSLE", "ece": "ECE"}


def shown(spec: PipelineSpec) -> tuple[str, ...]:
    """The figures that are worth a line: those that the pipeline aims at, else what is usual for its task."""
    return tuple(spec.monitoring.goal) or _USUAL[spec.task]


def name_of(metric: str) -> str:
    """A figure's name for people."""
    return _NAMES.get(metric, metric.replace("_", " "))


def training(spec: PipelineSpec, metrics: Mapping[str, float]) -> str:
    """How good a model was on its holdout: the first figure that is known."""
    for metric in (*shown(spec), *_USUAL[spec.task]):
        if metric in metrics:
            return f"{name_of(metric)} {metrics[metric]:.3f} on the last {spec.history.holdout:.0%}"
    return ""


def answer(spec: PipelineSpec, made: Mapping[str, Any]) -> str:
    """What a prediction says: a probability and what follows from it, a class, or a value with its interval."""
    score = made.get("score")
    if not isinstance(score, int | float):
        return "?"
    if spec.task == "regression":
        unit = f" {spec.labels.unit}" if spec.labels.unit else ""
        low, high = made.get("interval") or (None, None)
        between = "" if low is None or high is None else f" [{number(low)} to {number(high)}]"
        return f"{number(score)}{unit}{between}"
    if spec.task == "multiclass":
        return f"{made.get('label')} ({score:.2f})"
    return f"p({spec.labels.positive}) {score:.2f} -> {made.get('label')}"


def number(value: float) -> str:
    """Four digits that matter, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"  # noqa: PLR2004 - from here on, four of them


def last_line(spec: PipelineSpec, made: Mapping[str, Any]) -> str:
    """The newest prediction in a line; empty where there is none."""
    if not made:
        return ""
    ages = ", ".join(f"{group} {_age(seconds)}" for group, seconds in (made.get("ages") or {}).items())
    parts = (f"  last: {made['id']}", answer(spec, made), f"version {made['version']}", ages, *made.get("flags", ()))
    return "  ".join(part for part in parts if part)


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    minutes = seconds / 60
    if minutes < 120:  # noqa: PLR2004 - above, hours read better
        return f"{minutes:.0f} min old"
    return f"{minutes / 60:.0f} h old" if minutes < 2_880 else f"{minutes / 1440:.0f} days old"  # noqa: PLR2004 - the same


def day(at: int) -> str:
    """A day of event time."""
    return f"{datetime.fromtimestamp(at / 1000, UTC):%d %b}"


def percent(share: float) -> str:
    """A share."""
    return f"{share:.0%}"


def at_offsets(offsets: Mapping[int, int]) -> str:
    """Places in the log, by partition."""
    return " ".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))


def gate_words(gate: GateFigures) -> str:
    """The gate's figures in a line."""
    whole = gate.whole
    if not gate.judged:
        return f"not judged beside the champion ({whole.labels:,} labels that neither has learnt)"
    error = "" if whole.error is None else f" ± {whole.error:.4f}"
    return (
        f"loss {whole.challenger:.4f} beside the champion's {whole.champion:.4f}, difference"
        f" {whole.difference:+.4f}{error}, on {whole.labels:,} labels of {whole.blocks} days"
    )
