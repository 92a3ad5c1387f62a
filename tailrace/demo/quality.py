"""How good the committed predictions were: beside a linear model, the goal, and the best that is possible.

All of them are judged on exactly the same records: those that were scored and have a label.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from services.retrainer.baseline import fit_linear, predict_linear
from services.retrainer.dataset import Dataset, Files, load_dataset
from services.retrainer.scores import figures
from services.retrainer.tables import Table, table
from shared.adapters.history import HistoryFiles
from shared.adapters.tables import read_rows
from shared.core.bundle_checks import classes_of
from shared.core.codec import RecordCodec
from shared.core.pipeline import PipelineSpec
from shared.simulation.quality import best_quality
from shared.simulation.world import Truth
from tailrace.demo.part import Part
from tailrace.demo.summary import Compared, Coverage, Quality
from tailrace.demo.words import shown

Values = NDArray[np.float64]
Band = tuple[Values, Values]
Say = Callable[[str], None]


class Said(msgspec.Struct, frozen=True):
    """What a prediction answers."""

    id: str
    score: float
    probabilities: dict[str, float] | None = None
    interval: tuple[float, float] | None = None
    version: str = ""


class Answers:
    """Collects the committed predictions while they are read back; of a repeated id the first counts."""

    def __init__(self) -> None:
        self.by_id: dict[str, Said] = {}
        self._decode = msgspec.json.Decoder(Said).decode

    def take(self, topic: str, message: Message) -> None:
        """A message of any of the topics."""
        if topic == "predictions":
            said = self._decode(message.value() or b"{}")
            self.by_id.setdefault(said.id, said)


@dataclass(frozen=True, slots=True)
class _Judged:
    """The records that everything is judged on: n rows, their truth, and what was answered."""

    table: Table
    said: Sequence[Said]
    truth: Values | None


def measure(
    spec: PipelineSpec, files: HistoryFiles, part: Part, answers: Mapping[str, Said], say: Say
) -> Quality | None:
    """Compare predictions with what came true.

    Args:
        spec: the pipeline; `monitoring.goal` names the figures, and where it is empty, what is usual for the task is
            measured of our answers alone.
        files: the history: its labels, and its truth where it is a simulated one.
        part: what was played.
        answers: the committed predictions by id.
        say: told what takes time.

    Returns:
        The figures; None where the history has no labels, or none for what was scored.

    Raises:
        UserError: the history cannot be read.
    """
    if files.labels is None or not answers:
        return None
    codec, aims = RecordCodec(spec), spec.monitoring.goal
    own = Files(files.records, files.features, files.labels)
    horizon = int(spec.labels.horizon * 1000)
    data = load_dataset(_from(spec, part.start), codec, own, until=part.last + horizon + 1, progress=_silent)
    learnt = linear = None
    if aims:
        say("fitting a linear model, to compare")
        past = load_dataset(spec, codec, own, until=part.start, progress=_silent)
        learnt = table(spec, codec, past, np.arange(len(past)))
    judged = _judged(spec, codec, data, learnt, answers, files.truth)
    if judged is None:
        return None
    if learnt is not None:
        model = fit_linear(spec, learnt.columns, learnt.matrix, learnt.y)
        linear = predict_linear(spec, model, judged.table.matrix)
    return _compared(spec, judged, linear)


def _judged(
    spec: PipelineSpec,
    codec: RecordCodec,
    data: Dataset,
    learnt: Table | None,
    answers: Mapping[str, Said],
    truth: Path | None,
) -> _Judged | None:
    ids = list(map(codec.getter(spec.record.id), data.rows))
    known = _truths(spec, truth) if truth is not None else None
    wanted = [i for i, name in enumerate(ids) if name in answers and (known is None or name in known)]
    if not wanted:
        return None
    found = table(spec, codec, data, np.array(wanted, dtype=np.intp), None if learnt is None else learnt.columns)
    names = [ids[i] for i in found.index.tolist()]
    best = None if known is None else np.array([known[name] for name in names], dtype=np.float64)
    return _Judged(found, [answers[name] for name in names], best)


def _compared(spec: PipelineSpec, judged: _Judged, linear: Values | None) -> Quality:
    y, names = judged.table.y, shown(spec)
    coverage, band = _intervals(spec, y, judged.said)
    ours = figures(spec, y, scores_of(spec, judged.said), band)
    other = {} if linear is None else figures(spec, y, linear)
    best = {} if judged.truth is None else best_quality(spec.task, names, _truth(spec, y, judged.truth))
    goal = spec.monitoring.goal
    compared = {
        name: Compared(linear=other.get(name), goal=goal.get(name), ours=ours[name], best=best.get(name))
        for name in names
        if name in ours
    }
    return Quality(labelled=len(y), figures=compared, intervals=coverage)


def scores_of(spec: PipelineSpec, said: Sequence[Said]) -> Values:
    """Answers as `evaluate` takes them: (n,) values, or (n, k) probabilities in contract order."""
    score = np.array([one.score for one in said], dtype=np.float64)
    if spec.task == "regression":
        return score
    classes = classes_of(spec)
    if spec.task == "multiclass":
        shares = [[(one.probabilities or {}).get(name, 0.0) for name in classes] for one in said]
        return np.array(shares, dtype=np.float64)
    at = classes.index(spec.labels.positive)
    return np.stack([score, 1 - score] if at == 0 else [1 - score, score], axis=1)


def _intervals(spec: PipelineSpec, y: Values, said: Sequence[Said]) -> tuple[Coverage | None, Band | None]:
    if spec.model.interval is None or any(one.interval is None for one in said):
        return None, None
    low, high = np.array([one.interval for one in said], dtype=np.float64).T
    held, width = float(np.mean((low <= y) & (y <= high))), float(np.mean(high - low))
    return Coverage(asked=spec.model.interval.coverage, held=held, mean_width=width), (low, high)


def _truths(spec: PipelineSpec, path: Path) -> dict[str, list[float]]:
    """What the world knows, by id: the probability of each class, or mean and median of the target."""
    columns = ["mean", "median"] if spec.task == "regression" else [f"p_{name}" for name in classes_of(spec)]
    return {str(row["id"]): [float(row[column]) for column in columns] for row in read_rows(path)}


def _truth(spec: PipelineSpec, y: Values, known: Values) -> Truth:
    if spec.task == "regression":
        return Truth(y, mean=known[:, 0], median=known[:, 1])
    classes = classes_of(spec)
    if spec.task == "binary" and classes[0] == spec.labels.positive:  # there, the second class is the positive one
        return Truth(1 - y, classes[::-1], known[:, ::-1])
    return Truth(y, classes, known)


def _from(spec: PipelineSpec, start: int) -> PipelineSpec:
    """The pipeline, with a history that begins at `start` (ms) and has no other bound."""
    begin = datetime.fromtimestamp(start / 1000, UTC).isoformat()
    history = msgspec.structs.replace(spec.history, train_from=begin, train_until="")
    return msgspec.structs.replace(spec, history=history)


def _silent(_: str) -> None:
    pass
