"""Pictures of a training for the registry: what a person looks at before a version is let on. All of the holdout.

Drawn as SVG without a screen and without a date, so that equal trainings have equal pictures.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.retrainer.scores import ECE_BINS, figures, positive_of
from shared.core.bundle_checks import classes_of
from shared.core.pipeline import PipelineSpec

Values = NDArray[np.float64]
POINTS = 2_000
"""Points of a cloud at most: evenly spaced ones of more."""
FEATURES = 25
"""Bars of a picture at most."""
SPANS = 24
"""Points of a line over time."""
LEAST = 5
"""Records of a span below which it has no point."""
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Held:
    """The holdout: truth (class codes or values), answers (n, k) or (n,), event times (ms), and the trivial answer.

    `fitted` is the truth of the records that the judged model had learned from.
    """

    y: Values
    answers: Values
    times: NDArray[np.int64]
    fitted: Values


def draw(spec: PipelineSpec, held: Held, importance: Mapping[str, float], folder: Path) -> list[str]:
    """Draw all pictures that the task has; their names.

    Args:
        spec: the pipeline.
        held: the holdout.
        importance: by feature, the rise of the loss without it.
        folder: where they go; made where it is not there.
    """
    pictures: dict[str, Callable[[Any], None]] = {"over_time": lambda axes: _over_time(spec, held, axes)}
    if importance:
        pictures["importance"] = lambda axes: _importance(spec, importance, axes)
    if spec.task == "regression":
        pictures["predicted"] = lambda axes: _predicted(held, axes)
        pictures["residuals"] = lambda axes: _residuals(held, axes)
    else:
        pictures["confusion"] = lambda axes: _confusion(spec, held, axes)
        pictures["calibration"] = lambda axes: _calibration(spec, held, axes)
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        _save(picture, folder / f"{name}.svg")
    return sorted(f"{name}.svg" for name in pictures)


def chosen_of(spec: PipelineSpec, answers: Values) -> NDArray[np.intp]:
    """The class that is answered: of two by the threshold, else the most probable."""
    if spec.task != "binary":
        return np.asarray(answers.argmax(axis=1), dtype=np.intp)
    at = positive_of(spec)
    return np.where(answers[:, at] >= spec.labels.threshold, at, 1 - at).astype(np.intp)


def confusion_of(spec: PipelineSpec, held: Held) -> NDArray[np.int64]:
    """Counts (k, k): row i, column j are records of class i that were predicted as j, in the order of the columns."""
    k = held.answers.shape[1]
    cells = held.y.astype(np.intp) * k + chosen_of(spec, held.answers)
    return np.bincount(cells, minlength=k * k).reshape(k, k)


def calibration_of(spec: PipelineSpec, held: Held) -> list[tuple[float, float, int]]:
    """(probability, share that came true, records) by ten bins: of the positive class, or of the chosen one."""
    if spec.task == "binary":
        at = positive_of(spec)
        said, right = held.answers[:, at], held.y == at
    else:
        said, right = held.answers.max(axis=1), held.answers.argmax(axis=1) == held.y
    bins = np.minimum((said * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    masks = [bins == i for i in range(ECE_BINS)]
    return [(float(said[one].mean()), float(right[one].mean()), int(one.sum())) for one in masks if one.any()]


def over_time(spec: PipelineSpec, held: Held) -> list[tuple[float, float, float]]:
    """(days since the holdout's start, the model's loss, the trivial answer's) by equal spans of event time."""
    name = "mae" if spec.task == "regression" else "log_loss"
    begin, end = int(held.times.min()), int(held.times.max()) + 1
    where = (held.times - begin) * SPANS // (end - begin)
    trivial = _trivial(held)
    made = []
    for span in range(SPANS):
        here = where == span
        if here.sum() >= LEAST:
            ours, usual = (figures(spec, held.y[here], of[here])[name] for of in (held.answers, trivial))
            made.append(((span + 0.5) / SPANS * (end - begin) / DAY_MS, ours, usual))
    return made


def _trivial(held: Held) -> Values:
    if held.answers.ndim == 1:
        return np.full(len(held.y), held.fitted.mean())
    shares = np.bincount(held.fitted.astype(np.intp), minlength=held.answers.shape[1]) / len(held.fitted)
    return np.tile(shares, (len(held.y), 1))


def _save(picture: Callable[[Any], None], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - takes a second, and only a training draws
    from matplotlib.figure import Figure  # noqa: PLC0415 - the same

    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # a home that is read-only is no news
    with mpl.rc_context({"svg.hashsalt": "tailrace", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.0, 4.5), layout="constrained")
        picture(figure.add_subplot())
        figure.savefig(path, format="svg", metadata={"Date": None})


def _importance(spec: PipelineSpec, importance: Mapping[str, float], axes: Any) -> None:
    top = sorted(importance.items(), key=lambda one: one[1])[-FEATURES:]
    axes.barh([name for name, _ in top], [value for _, value in top])
    axes.set_xlabel("rise of the mean absolute error" if spec.task == "regression" else "rise of the log-loss (nats)")
    axes.set_title("Importance: what the holdout's loss rises by when a feature says nothing", fontsize=10)


def _confusion(spec: PipelineSpec, held: Held, axes: Any) -> None:
    counts, names = confusion_of(spec, held), classes_of(spec)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts.tolist()):
        for j, n in enumerate(row):
            ink = "white" if shares[i, j] > 0.5 else "black"  # noqa: PLR2004 - half
            axes.text(j, i, f"{n:,}\n{shares[i, j]:.0%}", ha="center", va="center", color=ink)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="came true", title=f"Confusion, {len(held.y):,} records")


def _calibration(spec: PipelineSpec, held: Held, axes: Any) -> None:
    points = calibration_of(spec, held)
    axes.plot([0, 1], [0, 1], "--", color="grey", label="perfect")
    axes.plot([one[0] for one in points], [one[1] for one in points], "o-", label="model")
    for said, came, n in points:
        axes.annotate(f"{n:,}", (said, came), textcoords="offset points", xytext=(4, -10), fontsize=7)
    axes.set(xlabel="probability given", ylabel="share that came true", title="Calibration", xlim=(0, 1), ylim=(0, 1))
    axes.legend()


def _over_time(spec: PipelineSpec, held: Held, axes: Any) -> None:
    points = over_time(spec, held)
    days = [one[0] for one in points]
    axes.plot(days, [one[1] for one in points], "o-", label="model")
    axes.plot(days, [one[2] for one in points], "--", color="grey", label="trivial answer")
    name = "mean absolute error" if spec.task == "regression" else "log-loss (nats)"
    axes.set(xlabel="days of the holdout", ylabel=name, title="How good it stays after its last record")
    axes.legend()


def _predicted(held: Held, axes: Any) -> None:
    places = _places(len(held.y))
    axes.plot(held.y[places], held.answers[places], ".", alpha=0.4)
    ends = [float(held.y.min()), float(held.y.max())]
    axes.plot(ends, ends, "--", color="grey")
    axes.set(xlabel="came true", ylabel="predicted", title="Predicted against true")


def _residuals(held: Held, axes: Any) -> None:
    places = _places(len(held.y))
    axes.plot(held.answers[places], (held.answers - held.y)[places], ".", alpha=0.4)
    axes.axhline(0, linestyle="--", color="grey")
    axes.set(xlabel="predicted", ylabel="predicted less true", title="Residuals")


def _places(n: int) -> Sequence[int]:
    places: list[int] = np.unique(np.linspace(0, n - 1, min(n, POINTS)).astype(np.intp)).tolist()
    return places
