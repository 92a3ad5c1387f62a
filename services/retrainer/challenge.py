"""A candidate beside the champion, on labels that neither has learnt; and whether the candidate is broken.

The champion was trained on everything that was known at its training, so only records after the ends of *both*
trainings count: a champion judged on what it has learnt would block every second good candidate.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.champion import Champion, as_given, speed_of
from services.retrainer.dataset import Dataset
from services.retrainer.gate import DataRefused
from services.retrainer.judge import answered
from services.retrainer.learn import Learned
from services.retrainer.scores import calibration_error, positive_of
from services.retrainer.slices import slices_of
from services.retrainer.tables import table
from shared.core.bundle import MODEL_FILES
from shared.core.codec import RecordCodec
from shared.core.errors import ModelRefused
from shared.core.features import Floats
from shared.core.gate import LEAST_SKILL, GateFigures, Skill, judge, losses, skill
from shared.core.golden import check_scores, golden_matrix
from shared.core.pipeline import PipelineSpec
from shared.core.records import Prediction
from shared.runtime.runtimes import load_runtime

Values = NDArray[np.float64]
Places = NDArray[np.intp]
Progress = Callable[[str], None]
CALIBRATION = 0.1
"""By how much the expected calibration error may exceed the champion's."""
SPEED_FLOOR = 2.0
"""Microseconds a record below which "so many times slower" would measure noise."""
OWN, BOTH = "its own holdout", "after both trainings"


@dataclass(frozen=True, slots=True)
class Material:
    """What a candidate learns from, what the refit learns from, and all that is known now, of which some is judged on.

    `given` has the champion's own predictions, by record id, `offsets` what was read of the archive (`outcomes/3`).
    """

    candidate: Dataset
    full: Dataset
    judged: Dataset
    given: Mapping[str, Prediction]
    offsets: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Answers:
    """Both models on the same n records: answers, truth, blocks, and where the records are in the dataset."""

    champion: Values
    challenger: Values
    y: Values
    blocks: NDArray[np.int64]
    index: Places

    def __len__(self) -> int:
        return len(self.y)


def challenge(
    spec: PipelineSpec, codec: RecordCodec, material: Material, learned: Learned, champion: Champion, progress: Progress
) -> GateFigures:
    """Judge a candidate.

    Args:
        spec: the pipeline.
        codec: that decoded the records.
        material: the data.
        learned: what the candidate's training gave.
        champion: the version in force.
        progress: told what takes time.
    """
    gate = spec.retraining.gate
    both = _answers(spec, codec, material, learned, champion)
    progress(f"judging on {len(both):,} labels after both trainings")
    metric = spec.model.metric or ""
    named = slices_of(spec, codec, [material.judged.rows[i] for i in both.index.tolist()])
    figures = judge(
        losses(both.champion, both.y, metric), losses(both.challenger, both.y, metric), both.blocks, named,
        gate.mode, gate.errors, skills=_skills(spec, learned, both),
    )  # fmt: skip
    return refused(figures, (*broken(spec, learned, champion), *_uncalibrated(spec, both)))


def refused(figures: GateFigures, reasons: Sequence[str]) -> GateFigures:
    """The same figures, refused for these reasons as well, if there are any."""
    if not reasons:
        return figures
    return msgspec.structs.replace(figures, passed=False, reasons=(*reasons, *figures.reasons))


def broken(spec: PipelineSpec, learned: Learned, champion: Champion) -> list[str]:
    """What is wrong with a model by itself, and with what it was trained on: for the candidate and for the refit."""
    found = list(_of_data(learned.warnings, champion))
    content = learned.content
    try:
        check_scores(
            _loaded(learned, golden_matrix(content.golden, content, spec)), content.golden, spec.model.tolerance
        )
    except ModelRefused as error:
        found.append(f"broken: {error}")
    allowed = spec.rollout.slower * max(champion.speed, SPEED_FLOOR)
    if (speed := speed_of(content.measured.get(content.chosen.runtime, {}))) > allowed:
        found.append(f"broken: {speed:,.1f} us a record, {allowed:,.1f} are allowed beside the champion")
    if (size := len(content.chosen.content)) > spec.model.max_bytes:
        found.append(f"broken: {size:,} bytes, model.max_bytes is {spec.model.max_bytes:,}")
    return found


def fresh(data: Dataset, champion_until: int, challenger_until: int) -> Places:
    """Places of the records that happened after both trainings ended; the ends in ms of event time."""
    return np.flatnonzero(data.times >= max(champion_until, challenger_until))


def _answers(
    spec: PipelineSpec, codec: RecordCodec, material: Material, learned: Learned, champion: Champion
) -> _Answers:
    data = material.judged
    places = fresh(data, champion.manifest.trained_until, learned.content.trained_until)
    width = 0 if spec.task == "regression" else len(spec.labels.classes)
    none = np.empty((0, width) if width else 0)
    nobody = _Answers(none, none, np.empty(0), np.empty(0, dtype=np.int64), places[:0])
    if not len(places):
        return nobody
    try:
        theirs, ours = (
            champion.table(spec, codec, data, places),
            table(spec, codec, data, places, learned.content.columns),
        )
    except DataRefused:
        return nobody
    index, at_theirs, at_ours = np.intersect1d(theirs.index, ours.index, return_indices=True)
    ours = ours.rows(at_ours)
    told = _given(spec, codec, material, index, champion.answers(spec, theirs)[at_theirs])
    raw = _loaded(learned, ours.matrix)
    said = answered(spec, learned.content.post, raw)
    return _Answers(told, said, ours.y, _blocks(spec, ours.times), index)


def _given(spec: PipelineSpec, codec: RecordCodec, material: Material, index: Places, again: Values) -> Values:
    """The champion's answers as they were given; where they were not, those that it gives now."""
    name = codec.getter(spec.record.id)
    answers = again.copy()
    for at, place in enumerate(index.tolist()):
        prediction = material.given.get(str(name(material.judged.rows[place])))
        row = None if prediction is None else as_given(spec, prediction)
        if row is not None:
            answers[at] = row if answers.ndim > 1 else row[0]
    return answers


def _skills(spec: PipelineSpec, learned: Learned, both: _Answers) -> dict[str, Skill]:
    """What the candidate showed after both trainings, and what its recipe showed on its own holdout.

    After a change nothing that was learned before it holds, and the champion is no better: the candidate's own labels,
    of which its last ones were held out, tell whether there was anything to learn.
    """
    found = {BOTH: skill(both.challenger, both.y, both.blocks)}
    held = learned.held
    if held is not None and len(held.answers):
        found[OWN] = skill(held.answers, held.y, _blocks(spec, held.times), least=LEAST_SKILL)
    return found


def _blocks(spec: PipelineSpec, times: NDArray[np.int64]) -> NDArray[np.int64]:
    return times // max(round(spec.retraining.gate.block * 1_000), 1)


def _uncalibrated(spec: PipelineSpec, both: _Answers) -> Sequence[str]:
    """Answers that are no numbers, and probabilities that are far more wrong than the champion's."""
    if not np.isfinite(both.challenger).all():
        return ["broken: answers that are not finite, on labels after both trainings"]
    if spec.task == "regression" or not len(both):
        return []
    theirs, ours = (_calibration(spec, answers, both.y) for answers in (both.champion, both.challenger))
    if ours <= theirs + CALIBRATION:
        return []
    return [f"broken: its calibration error is {ours:.3f}, the champion's {theirs:.3f}"]


def _calibration(spec: PipelineSpec, answers: Values, y: Values) -> float:
    if spec.task == "binary":
        at = positive_of(spec)
        return calibration_error(answers[:, at], y == at)
    return calibration_error(answers.max(axis=1), answers.argmax(axis=1) == y)


def _of_data(warnings: Sequence[str], champion: Champion) -> Sequence[str]:
    """Faults of training data that a person is only warned of, and that nobody is there to look at."""
    known = champion.reference.features
    found = [f"training data: {warning}" for warning in warnings if "equals the label" in warning]
    for warning in warnings:
        profile = known.get(warning.removeprefix("feature ").split(" ", 1)[0])
        if "has no value at all" in warning and profile is not None and any(profile.counts):
            found.append(f"training data: {warning}, and the champion's had")
    return found


def _loaded(learned: Learned, matrix: Floats) -> Values:
    chosen = learned.content.chosen
    with tempfile.TemporaryDirectory(prefix="tailrace-gate-") as folder:
        (Path(folder) / MODEL_FILES[chosen.runtime]).write_bytes(chosen.content)
        return np.asarray(load_runtime(chosen.runtime, Path(folder)).predict(matrix), dtype=np.float64)
