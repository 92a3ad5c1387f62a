"""A stream to be played without Kafka: a pipeline's file, and its records as the matrix that a model sees."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.dataset import Files, bound, load_dataset
from services.retrainer.folds import horizon_ms
from services.retrainer.tables import table
from shared.adapters.history import history_files
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.errors import UserError
from shared.core.features import Floats
from shared.core.partitioning import partition_of
from shared.core.pipeline import PipelineSpec

Say = Callable[[str], None]
Times = NDArray[np.int64]
DAY = 86_400_000
LEAST_STEPS = 3


def silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Stream:
    """n labelled records in order of event time; all times in ms.

    `known` is when a label is known, `partitions` where its entity belongs. A look is taken, and may change the model,
    at `first` and every `step` after it; the first model is of what lies before. A record that is younger than `wait`
    teaches nothing and judges nobody: until then only its quick labels are known, which are no fair sample; None:
    `labels.horizon`, as in the running system.
    """

    name: str
    spec: PipelineSpec
    columns: tuple[Column, ...]
    matrix: Floats
    y: NDArray[np.float64]
    times: Times
    known: Times
    partitions: NDArray[np.int8]
    first: int
    step: int = DAY
    wait: int | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def looks(self) -> range:
        """The moments at which the steps begin (ms)."""
        return range(self.first, int(self.times[-1]) + 1, self.step)

    def rows(self, begin: int, until: int) -> slice:
        """Places of the records of [begin, until)."""
        return slice(*(int(place) for place in np.searchsorted(self.times, [begin, until])))

    def ripe(self, places: slice | NDArray[np.intp], now: int) -> NDArray[np.bool_]:
        """Which of these records count at a moment (ms): their labels are known, and had all of their time to come."""
        wait = horizon_ms(self.spec) if self.wait is None else self.wait
        found: NDArray[np.bool_] = (self.known[places] <= now) & (self.times[places] + wait <= now)
        return found

    def fingerprint(self) -> str:
        """Of everything that a model's answers depend on."""
        spec, model = self.spec, self.spec.model
        said = (
            *(spec.task, spec.labels.classes, spec.labels.positive, spec.labels.threshold, spec.labels.horizon),
            *(model.estimator, sorted(model.parameters.items()), model.numeric, model.category, model.impute),
            *(model.target, model.seed, spec.history.holdout, spec.monitoring.within, spec.retraining.gate.block),
        )
        found = blake2b(repr(said if self.wait is not None else (*said, "ripe")).encode())
        for column in (self.matrix, self.y, self.times, self.known):
            found.update(np.ascontiguousarray(column).tobytes())
        return found.hexdigest()[:16]


def delayed(stream: Stream, delay: int) -> Stream:
    """The same stream, no label of which is known sooner than so long after its record (ms), nor waited for longer.

    It begins to be played so much later, when the first model's labels are known.
    """
    known = np.maximum(stream.known, stream.times + delay)
    return replace(stream, known=known, first=stream.first + delay, wait=delay)


def of_pipeline(path: str, cache: Path, say: Say) -> Stream:
    """A pipeline's history as a stream; what was read once is kept in the cache.

    Args:
        path: folder, pipeline.yaml or name.
        cache: the cache folder.
        say: told what takes time.

    Raises:
        UserError: the pipeline is wrong, its history cannot be had, or it is too short to be played.
    """
    pipeline = load_pipeline(path)
    everything = msgspec.structs.replace(pipeline.spec.history, train_from="", train_until="")
    spec = msgspec.structs.replace(pipeline.spec, history=everything)
    columns, arrays = _read(pipeline, spec, cache, say)
    times = arrays["times"]
    begin = bound(pipeline.spec.history.train_from, "history.train_from")
    begin = int(times[0]) if begin is None else begin
    window = spec.retraining.window
    learned = bound(pipeline.spec.history.train_until, "history.train_until") if window is None else None
    first = begin + round(window * 1_000) if window is not None else learned or begin + (int(times[-1]) - begin) // 3
    if first + LEAST_STEPS * DAY > times[-1]:
        days = (int(times[-1]) - begin) / DAY
        raise UserError(f"{path}: a history of {days:.0f} days is too short", remedy="lower retraining.window")
    return Stream(spec.name, spec, columns, first=first, **arrays)


def _read(pipeline: Pipeline, spec: PipelineSpec, cache: Path, say: Say) -> tuple[tuple[Column, ...], dict[str, Any]]:
    """Columns, and all arrays of a stream."""
    found = history_files(pipeline, cache, say=say)
    known = blake2b(repr((str(found.records), *_shape(spec))).encode(), digest_size=8)
    kept = cache / "backtest" / f"{spec.name}-{known.hexdigest()}.npz"
    if not kept.is_file():
        say(f"loading the history of {spec.name}")
        columns, arrays = _load(spec, Files(found.records, found.features, found.labels))
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(".part.npz")
        np.savez(beside, columns=np.frombuffer(msgspec.json.encode(columns), np.uint8), **arrays)
        beside.replace(kept)
    with np.load(kept) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return msgspec.json.decode(arrays.pop("columns").tobytes(), type=tuple[Column, ...]), arrays


def _shape(spec: PipelineSpec) -> tuple[object, ...]:
    return spec.task, spec.record, spec.features, spec.labels, spec.lookups, spec.partitions


def _load(spec: PipelineSpec, files: Files) -> tuple[tuple[Column, ...], dict[str, Any]]:
    codec = RecordCodec(spec)
    data = load_dataset(spec, codec, files, until=None, progress=lambda _: None)
    if not data.labelled:
        raise UserError(f"{spec.name}: its history has no labels", remedy="name history.labels")
    known = table(spec, codec, data, np.arange(len(data)))
    key = codec.getter(spec.record.key)
    partitions = [partition_of(key(data.rows[i]).encode(), spec.partitions) for i in known.index.tolist()]
    return known.columns, {
        "matrix": known.matrix, "y": known.y, "times": known.times, "known": data.known[known.index],
        "partitions": np.array(partitions, dtype=np.int8),
    }  # fmt: skip
