"""How wrong a prediction was, as integers: the one place that says so, for scorecards, error blocks and baselines."""

from collections.abc import Callable
from typing import Any, Protocol

from shared.core.pipeline import PipelineSpec
from shared.core.scorecards import fixed, log_loss


class Said(Protocol):
    """What a prediction said: its score, its class or number, and of several classes the probability of each."""

    @property
    def score(self) -> float: ...  # noqa: D102 - an attribute
    @property
    def label(self) -> str | float: ...  # noqa: D102 - the same
    @property
    def probabilities(self) -> dict[str, float] | None: ...  # noqa: D102 - the same


Value = Any  # a class, or a number: what a label says came true


Verdict = tuple[int, int]
"""1 where the prediction was wrong (a number: beyond the tolerance), else 0; and the loss in fixed point."""
Judge = Callable[[Said, Value], Verdict]


def judge_of(spec: PipelineSpec) -> Judge:
    """The judge of a task.

    Classes: wrong is another class than the label's; the loss is log-loss (at most 13.87). Numbers: wrong is an error
    of more than `monitoring.within` of the label's size; the loss is the absolute error.
    """
    if spec.task == "regression":
        return _numbers(spec.monitoring.within)
    return _binary(spec.labels.positive) if spec.task == "binary" else _classes


def _binary(positive: str) -> Judge:
    def judge(known: Said, value: Value) -> Verdict:
        share = known.score if value == positive else 1.0 - known.score
        return int(known.label != value), log_loss(share)

    return judge


def _classes(known: Said, value: Value) -> Verdict:
    shares = known.probabilities
    share = shares.get(value, 0.0) if shares else (known.score if known.label == value else 0.0)
    return int(known.label != value), log_loss(share)


def _numbers(within: float) -> Judge:
    def judge(known: Said, value: Value) -> Verdict:
        error = abs(known.score - value)
        return int(error > within * abs(value)), fixed(error)

    return judge
