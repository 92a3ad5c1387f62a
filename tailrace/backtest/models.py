"""Models of a stream: each is fitted once, and what it answers is kept in memory and on disk."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from services.retrainer.folds import by_time, horizon_ms
from services.retrainer.gate import DataRefused
from services.retrainer.judge import answered
from services.retrainer.reference import baselines_of
from services.retrainer.train import fit, make_estimator, predict
from shared.core.answering import Post
from shared.core.baseline import Baseline
from shared.core.gate import LEAST_SKILL, Skill, skill
from tailrace.backtest.stream import Say, Stream, silent

Values = NDArray[np.float64]
_AHEAD = 24  # steps that are answered at once
_TOLD = 25  # models between two lines of progress


class Trained(msgspec.Struct, frozen=True, order=True):
    """A model by what it has learned from: records of [begin, until) whose labels were known at `until` (ms)."""

    begin: int
    until: int
    shuffled: bool = False


class Held(msgspec.Struct, frozen=True):
    """Baselines of errors and loss on a training's own holdout (none: it is too short), and the skill shown there."""

    baselines: tuple[Baseline, ...] = ()
    skill: Skill | None = None


def blocks_of(stream: Stream, places: NDArray[np.intp]) -> NDArray[np.int64]:
    """The gate's block of each record."""
    block = max(round(stream.spec.retraining.gate.block * 1_000), 1)
    return np.asarray(stream.times[places] // block, dtype=np.int64)


@dataclass(slots=True)
class Models:
    """Fits and answers of one stream. `fits` counts what was fitted, and was not in the cache."""

    stream: Stream
    folder: Path
    say: Say = silent
    fits: int = 0
    _answers: dict[Trained, tuple[int, Values]] = field(default_factory=dict)

    def learned_first(self) -> NDArray[np.intp]:
        """Places of what the first model learns from."""
        return self.learned(Trained(int(self.stream.times[0]), self.stream.first))

    def learned(self, model: Trained) -> NDArray[np.intp]:
        """Places of the records that it has learned from."""
        rows = self.stream.rows(model.begin, model.until)
        places: NDArray[np.intp] = np.flatnonzero(self.stream.ripe(rows, model.until)) + rows.start
        return places

    def answers(self, model: Trained, rows: slice) -> Values:
        """What it says of records: probabilities (n, k) in the order of classes, or values (n,)."""
        begin, known = self._answers.get(model) or self._stored(model) or (rows.start, np.empty(0))
        if rows.start < begin or rows.stop > begin + len(known):
            begin, known = self._answered(model, rows)
        self._answers[model] = begin, known
        return known[rows.start - begin : rows.stop - begin]

    def refused(self, model: Trained) -> str:
        """Why a training would refuse its data: nothing is left beside its holdout; empty: it would not."""
        try:
            self._split(self.learned(model))
        except DataRefused as error:
            return str(error)
        return ""

    def held(self, model: Trained) -> Held:
        """What a training learns from its own holdout: a model of its early records, judged on its last ones."""
        file = self._file(model, "json")
        if file.is_file():
            return msgspec.json.decode(file.read_bytes(), type=Held)
        made = self._judged(model)
        _write(file, msgspec.json.encode(made))
        return made

    def _judged(self, model: Trained) -> Held:
        stream, spec, places = self.stream, self.stream.spec, self.learned(model)
        if self.refused(model):
            return Held()
        early, late = self._split(places)
        y = self._targets(model, places)
        raw = predict(self._fit(places[early], y[early]), stream.matrix[places[late]])
        shown = skill(self._made(raw), y[late], blocks_of(stream, places[late]), least=LEAST_SKILL)
        return Held(baselines_of(spec, Post(target=spec.model.target), raw, y[late]), shown)

    def _split(self, places: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        spec = self.stream.spec
        if not len(places):
            raise DataRefused("training data: no records")
        return by_time(self.stream.times[places], spec.history.holdout, horizon_ms(spec))

    def _targets(self, model: Trained, places: NDArray[np.intp]) -> Values:
        y = self.stream.y[places]
        return np.random.default_rng(model.until % 2**32).permutation(y) if model.shuffled else y

    def _answered(self, model: Trained, rows: slice) -> tuple[int, Values]:
        """Fit it, and answer what it has not learned from, as far as is likely to be asked."""
        stream, places = self.stream, self.learned(model)
        fitted = self._fit(places, self._targets(model, places))
        unlearned = int(places[-1]) + 1 if len(places) else rows.start
        begin = min(rows.start, unlearned)
        ahead = stream.rows(model.until, model.until + _AHEAD * stream.step).stop
        end = ahead if rows.stop <= ahead else len(stream)  # one that is not replaced soon may never be
        raw = predict(fitted, stream.matrix[begin:end])
        file = self._file(model, "npy")
        kept = raw[:, 1] if stream.spec.task == "binary" else raw
        np.save(file.with_suffix(".part.npy"), kept)
        file.with_suffix(".part.npy").replace(file.with_name(f"{file.stem}-{begin}.npy"))
        return begin, self._made(kept)

    def _stored(self, model: Trained) -> tuple[int, Values] | None:
        file = self._file(model, "npy")
        found = sorted(file.parent.glob(f"{file.stem}-*.npy"), key=lambda one: one.stat().st_size)
        if not found:
            return None
        return int(found[-1].stem.rpartition("-")[2]), self._made(np.load(found[-1]))

    def _made(self, raw: Values) -> Values:
        """What the estimator said as answers; of two classes the second is kept."""
        spec = self.stream.spec
        whole = np.column_stack([1 - raw, raw]) if spec.task == "binary" and raw.ndim == 1 else raw
        return answered(spec, Post(target=spec.model.target), whole.astype(np.float64))

    def _fit(self, places: NDArray[np.intp], y: Values) -> object:
        stream = self.stream
        self.fits += 1
        if self.fits % _TOLD == 0:
            self.say(f"{self.fits} models fitted")
        with threadpool_limits(1):
            estimator = make_estimator(stream.spec, stream.columns)
            return fit(
                estimator, stream.matrix[places], y, seed=stream.spec.model.seed, target=stream.spec.model.target
            )

    def _file(self, model: Trained, kind: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        shuffled = "shuffled" if model.shuffled else "of"
        return self.folder / f"{shuffled}-{model.begin}-{model.until}.{kind}"


def _write(file: Path, content: bytes) -> None:
    beside = file.with_suffix(".part")
    beside.write_bytes(content)
    beside.replace(file)
