"""Never retrained, the closed loop, and a plain clock, on the same records: those that were scored and have a label.

The closed loop is what was committed. The static answers are those of the first version's own bundle, scored offline.
The periodic ones are refits of the whole window at the pipeline's clock, without a gate or a rollout, in force at once:
`tailrace.backtest` makes them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.champion import champion_of
from services.retrainer.dataset import Dataset, Files, load_dataset
from services.retrainer.tables import Table, table
from shared.core.codec import RecordCodec
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings
from tailrace.backtest.models import Models
from tailrace.backtest.playing import figures, periodic
from tailrace.backtest.stream import Stream
from tailrace.demo.part import DAY_MS, Part
from tailrace.demo.quality import Said, scores_of
from tailrace.demo.summary import Contest

Values = NDArray[np.float64]
Say = Callable[[str], None]


def contest(
    spec: PipelineSpec, settings: Settings, files: Files, part: Part, first: BundleRef, answers: Mapping[str, Said],
    clock: float, state: Path, say: Say,
) -> dict[str, Contest]:  # fmt: skip
    """Compare the three.

    Args:
        spec: the pipeline.
        settings: where bundles are.
        files: its history, with labels.
        part: what was played, until its last record.
        first: the version that was there at the beginning.
        answers: the committed predictions by id.
        clock: s between the refits of a plain clock.
        state: the stack's state folder, with the public key; fits are kept in it.
        say: told what takes time.

    Returns:
        By name: `static`, `closed loop`, `periodic`. Empty: no record has both an answer and a label.
    """
    codec = RecordCodec(spec)
    until = part.last + round(spec.labels.horizon * 1_000) + 1
    # The history is cut for the first training; what is compared lies behind that.
    whole = msgspec.structs.replace(spec, history=msgspec.structs.replace(spec.history, train_until=""))
    data = load_dataset(whole, codec, files, until=until, progress=lambda _: None)
    known = table(spec, codec, data, np.arange(len(data)))
    ids = [codec.getter(spec.record.id)(data.rows[i]) for i in known.index.tolist()]
    scored = np.array([name in answers for name in ids]) & (known.times >= part.start) & (known.times <= part.last)
    if not scored.any():
        return {}
    wanted = np.flatnonzero(scored)
    y = known.y[wanted]
    said = [answers[ids[i]] for i in wanted.tolist()]
    ours, later = scores_of(spec, said), np.array([one.version != first.version for one in said])
    say("scoring the first version on the same records, offline")
    static = _of_first(spec, codec, settings, first, data, known.index[wanted], state)
    say("refitting at the clock alone, offline")
    periodically, refits = _of_clock(whole, known, data, part, clock, state)
    told = periodically[wanted - int(np.searchsorted(known.times, part.start))]
    return {
        "static": _told(static, y, later, 0),
        "closed loop": _told(ours, y, later, None),
        "periodic": _told(told, y, later, refits),
    }


def _of_first(
    spec: PipelineSpec, codec: RecordCodec, settings: Settings, first: BundleRef, data: Dataset,
    places: NDArray[np.intp], state: Path,
) -> Values:  # fmt: skip
    model = champion_of(spec, settings, first, state, SystemClock())
    return model.answers(spec, model.table(spec, codec, data, places))


def _of_clock(
    spec: PipelineSpec, known: Table, data: Dataset, part: Part, clock: float, state: Path
) -> tuple[Values, int]:
    """Answers of every record since the start, and how many refits gave them."""
    nobody = np.zeros(len(known), dtype=np.int8)
    stream = Stream(
        spec.name, spec, known.columns, known.matrix, known.y, known.times, data.known[known.index], nobody, part.start
    )
    every = max(round(clock * 1_000 / DAY_MS), 1)
    folder = state / "contest"
    folder.mkdir(exist_ok=True)
    run = periodic(Models(stream, folder), every)
    return run.said, run.retrains


def _told(said: Values, y: Values, later: NDArray[np.bool_], refits: int | None) -> Contest:
    count = int(later.sum())
    return Contest(
        records=len(y), refits=refits, figures=_named(said, y),
        later_records=count, later=_named(said[later], y[later]) if count else {},
    )  # fmt: skip


def _named(said: Values, y: Values) -> dict[str, float]:
    found = figures(said, y)
    named = {name: getattr(found, name) for name in ("auc", "accuracy", "loss", "rmse", "mae")}
    return {name: value for name, value in named.items() if value is not None}
