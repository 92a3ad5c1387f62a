"""The flights of 2013 as a model sees them, for benches: 60 days to learn from, the rest of the year to judge it on."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.dataset import Files, load_dataset
from services.retrainer.tables import table
from shared.adapters.history import history_files
from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.codec import RecordCodec
from shared.core.features import Floats
from tailrace.stack.cache import cache_folder

Say = Callable[[str], None]
Places = NDArray[np.intp]
DAY_MS, TRAINED_DAYS, HELD = 86_400_000, 60, 0.25


@dataclass(frozen=True, slots=True)
class Flown:
    """n flights in order of scheduled departure; times in ms, `late` 0 or 1.

    The model is of `learned`. What a model of `early` does on `held` is its judged holdout: the last quarter of the 60
    days, after a gap of a day. `later` is the rest of the year. `patience` ms after a record its label has come, or
    counts no more.
    """

    matrix: Floats
    late: NDArray[np.int8]
    times: NDArray[np.int64]
    landed: NDArray[np.int64]
    categories: list[int]
    early: Places
    held: Places
    learned: Places
    later: Places
    patience: int

    @property
    def days(self) -> NDArray[np.int64]:
        """The day of each, (n,), the first is 0."""
        return np.asarray((self.times - self.times[0]) // DAY_MS, dtype=np.int64)


def load(say: Say) -> Flown:
    """Load them.

    Args:
        say: told what takes time.

    Raises:
        UserError: the history of flights cannot be had.
    """
    pipeline = load_pipeline("flights")
    everything = msgspec.structs.replace(pipeline.spec.history, train_from="", train_until="")
    spec = msgspec.structs.replace(pipeline.spec, history=everything)
    found, codec = history_files(pipeline, cache_folder(), say=say), RecordCodec(spec)
    say("loading the flights")
    files = Files(found.records, found.features, found.labels)
    data = load_dataset(spec, codec, files, until=None, progress=lambda _: None)
    known = table(spec, codec, data, np.arange(len(data)))
    days = (known.times - known.times[0]) // DAY_MS
    learned = np.flatnonzero(days < TRAINED_DAYS)
    border = known.times[learned[int(len(learned) * (1 - HELD))]]
    return Flown(
        matrix=known.matrix,
        late=known.y.astype(np.int8),
        times=known.times,
        landed=data.known[known.index],
        categories=[j for j, column in enumerate(known.columns) if column.kind == "category"],
        early=np.flatnonzero(known.times < border - DAY_MS),
        held=learned[known.times[learned] >= border],
        learned=learned,
        later=np.flatnonzero(days >= TRAINED_DAYS),
        patience=round((spec.labels.horizon + spec.monitoring.hold) * 1_000),
    )
