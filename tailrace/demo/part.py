"""Which part of a history the demo plays, and how far features and scorer may be apart while it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from services.ingest.replay.convert import BadValueError, Converter
from services.retrainer.dataset import Files, bound
from shared.adapters.tables import read_rows
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec

DAY_MS = 86_400_000
MAX_LAG = 20_000  # records that may wait for the scorer
MAX_PAST = 50_000  # records before the start that are played so that aggregates know them
_LEAST_LAG = 2_000
_LEARNT = 2 / 3  # of a history that does not say where training ends


@dataclass(frozen=True, slots=True)
class Part:
    """What is played: training ends at `start` (event time, ms), `records` follow until `last`.

    Aggregates look back: `past` records since `past_from` go before, as they would have in a life before the demo.
    `lead_ms` is how far (event time) features go ahead, `max_lag` how many records may wait for the scorer: both are
    such that the cache still holds what a record looks up.
    """

    start: int
    last: int
    records: int
    lead_ms: int
    max_lag: int
    past_from: int = 0
    past: int = 0


def choose(spec: PipelineSpec, files: Files, *, start: int | None, limit: int) -> Part:
    """The part of a history to play.

    Args:
        spec: the pipeline.
        files: its history.
        start: event time (ms) at which training ends and the replay begins; None: `history.train_until`, and where
            that is not declared, the time of the record after two thirds of them.
        limit: the most records.

    Raises:
        UserError: there is nothing to learn from before `start`, or nothing to score after it.
    """
    times = np.sort(np.array(_times(spec, files), dtype=np.int64))
    if start is None:
        start = bound(spec.history.train_until, "history.train_until")
    if start is None:
        start = int(times[int(len(times) * _LEARNT)]) if len(times) else 0
    begin = bound(spec.history.train_from, "history.train_from")
    first = int(np.searchsorted(times, start))
    if not (times[:first] >= (begin or 0)).any():
        raise UserError(f"{files.records}: no record to learn from before {_said(start)}", remedy="give a later --from")
    played = times[first : first + limit]
    if not len(played):
        raise UserError(f"{files.records}: no record at or after {_said(start)}", remedy="give an earlier --from")
    density = len(played) / max(1, int(played[-1] - played[0]))
    past = times[int(np.searchsorted(times, start - _span(spec))) : first][-MAX_PAST:]
    past_from = int(past[0]) if len(past) else start
    known = int(np.searchsorted(times, past_from))  # equal times go together
    return Part(start, int(played[-1]), len(played), lead_ms(spec), _max_lag(spec, density), past_from, first - known)


def lead_ms(spec: PipelineSpec) -> int:
    """How far features go ahead: as old as one may be, at least a day, within a quarter of what the cache keeps."""
    groups = [lookup for lookup in spec.lookups.values() if lookup.fields]
    if not groups:
        return 0
    oldest = max(int(lookup.max_age * 1000) for lookup in groups)
    kept = min(int(lookup.keep * 1000) for lookup in groups)
    return min(max(oldest, DAY_MS), kept // 4)


def _span(spec: PipelineSpec) -> int:
    """How far back (ms) aggregates look at most."""
    spans = (one.over for lookup in spec.lookups.values() for one in lookup.aggregates.values())
    return int(max(spans, default=0.0) * 1000)


def month(spec: PipelineSpec, number: int) -> int:
    """The first moment (ms) of a month, of the year and in the time zone in which the history's training begins.

    Raises:
        UserError: the pipeline does not say when training begins or ends.
    """
    text = spec.history.train_from or spec.history.train_until
    if not text:
        raise UserError(
            f"--from-month {number}: {spec.name} declares neither history.train_from nor train_until",
            remedy="use --from DATE",
        )
    bound(text, "history.train_from")  # says in words what is wrong with it
    told = datetime.fromisoformat(text)
    at = datetime(told.year, number, 1, tzinfo=told.tzinfo or UTC)
    return int(at.timestamp() * 1000)


def _times(spec: PipelineSpec, files: Files) -> Sequence[int]:
    converter, times = Converter(spec.record), []
    for row in read_rows(files.records):
        try:
            times.append(converter.time(row))
        except BadValueError:
            continue  # the replay says what is wrong with it, with its line
    return times


def _max_lag(spec: PipelineSpec, density: float) -> int:
    """So many records as pass in half of what the shortest-lived group keeps; `density` in records a ms."""
    kept = min((lookup.keep * 1000 for lookup in spec.lookups.values()), default=float("inf"))
    return int(min(MAX_LAG, max(_LEAST_LAG, density * kept / 2)))


def _said(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
