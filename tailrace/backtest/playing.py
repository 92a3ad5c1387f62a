"""What a policy did on a stream: which model answered which records, and how good that was."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from shared.core.gate import losses
from shared.core.schedule import schedule_terms
from tailrace.backtest.models import Models, Trained, Values
from tailrace.backtest.stream import Stream

HEADLINE = {"binary": "auc", "multiclass": "accuracy", "regression": "rmse"}


class Figures(msgspec.Struct, frozen=True, omit_defaults=True):
    """Quality of one run over all its records; what a task does not have is None.

    `loss` is the mean log-loss, or the mean squared error: what gain is a share of.
    """

    loss: float
    accuracy: float | None = None
    auc: float | None = None
    rmse: float | None = None
    mae: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What was said of every record from the stream's first look on, and by how many refits."""

    said: Values
    retrains: int

    def figures(self, y: Values) -> Figures:
        """How good it was, of the same records."""
        return figures(self.said, y)


def figures(said: Values, y: Values) -> Figures:
    """Quality of answers.

    Args:
        said: probabilities (n, k) in the order of class codes, or values (n,).
        y: class codes, or values, (n,).
    """
    loss = float(losses(said, y).mean())
    if said.ndim == 1:
        return Figures(loss, rmse=loss**0.5, mae=float(np.abs(said - y).mean()))
    accuracy = float((said.argmax(axis=1) == y).mean())
    both = said.shape[1] == 2 and 0 < float(y.mean()) < 1  # noqa: PLR2004 - binary
    return Figures(loss, accuracy=accuracy, auc=float(roc_auc_score(y, said[:, 1])) if both else None)


def gain(loss: float, static: float, oracle: float) -> float:
    """The share of what retraining at every step gives over never: 0 as static, 1 as the oracle.

    `nan` where there is nothing to gain.
    """
    return (static - loss) / (static - oracle) if static != oracle else float("nan")


def static(models: Models) -> Run:
    """The first model, for ever."""
    return _played(models, [first(models)] * len(models.stream.looks))


def periodic(models: Models, every: int, phase: int = 0) -> Run:
    """A refit of the whole window every so many steps, `phase` steps sooner at first; all are taken."""
    in_force, played = first(models), list[Trained]()
    retrains = 0
    for i, now in enumerate(models.stream.looks):
        if i > 0 and (i + phase) % every == 0:
            in_force = whole(models, now)
            retrains += 1
        played.append(in_force)
    return Run(_played(models, played).said, retrains)


def oracle(models: Models) -> Run:
    """A refit at every step."""
    return periodic(models, 1)


def first(models: Models) -> Trained:
    """The model that a stream begins with: of all before its first look."""
    return Trained(int(models.stream.times[0]), models.stream.first)


def whole(models: Models, now: int) -> Trained:
    """A model of the whole window, as its labels are known at a moment (ms)."""
    return of_window(models.stream, now, schedule_terms(models.stream.spec).window)


def of_window(stream: Stream, now: int, window: int | None) -> Trained:
    """A model of the last `window` before a moment (ms); None: of everything."""
    return Trained(int(stream.times[0]) if window is None else now - window, now)


def majority(y_before: Values, y: Values) -> Figures:
    """The trivial baseline: always the shares (the mean) of what the first model learned from."""
    if (y_before != np.round(y_before)).any() or y_before.max() > 1:
        return figures(np.full(len(y), y_before.mean()), y)
    shares = np.bincount(y_before.astype(np.int64), minlength=2) / len(y_before)
    return figures(np.tile(shares, (len(y), 1)), y)


def _played(models: Models, in_force: Sequence[Trained]) -> Run:
    stream = models.stream
    said = [
        models.answers(model, stream.rows(now, now + stream.step))
        for model, now in zip(in_force, stream.looks, strict=True)
    ]
    return Run(np.concatenate(said), 0)


def scored(models: Models) -> NDArray[np.float64]:
    """What came true of the records that are scored: from the first look on."""
    return models.stream.y[models.stream.rows(models.stream.first, int(models.stream.times[-1]) + 1)]
