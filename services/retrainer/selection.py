"""Which of the data a model learns from: the newest window, everything, or a random reservoir; and two sets as one."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.dataset import Dataset, take
from shared.core.pipeline_loop import RetrainingSpec
from shared.core.ports import Found

T = TypeVar("T")
_SALT = b"tailrace.reservoir"
_encode = msgspec.json.Encoder().encode


def select(data: Dataset, terms: RetrainingSpec, until: int, *, window: int | None = None) -> Dataset:
    """What a training learns from.

    Args:
        data: all there is, in order of event time.
        terms: `retraining` of the pipeline.
        until: the event time (ms) that the newest window ends at.
        window: ms of event time instead of `retraining.window` (an alarm's short one); None: as declared.

    Returns:
        `recent`: records of `[until - window, until)`. `all`: everything. `reservoir`: as many as it says, each with
        the same chance, by a salted hash of the record: the same data give the same choice, and of two reservoirs the
        younger keeps what it shares with the older (bottom-k sampling).
    """
    if window is None and terms.data == "recent" and terms.window is not None:
        window = round(terms.window * 1_000)
    if window is not None:
        return only(data, (data.times >= until - window) & (data.times < until))
    if terms.data != "reservoir" or len(data) <= terms.reservoir:
        return data
    hashes = np.array([_hash(row) for row in data.rows], dtype=np.uint64)
    lowest = np.argsort(hashes, kind="stable")[: terms.reservoir]
    return only(data, np.isin(np.arange(len(data)), lowest))


def only(data: Dataset, mask: NDArray[np.bool_]) -> Dataset:
    """The records of a mask; what was left out of the whole stays counted."""
    index = np.flatnonzero(mask)
    rows = [data.rows[i] for i in index.tolist()]
    found = take(data.found, index.tolist())
    return Dataset(
        rows, found, data.y[index], data.times[index], data.known[index], data.refused, data.unlabelled, data.young,
        data.duplicates, labelled=data.labelled,
    )  # fmt: skip


def merged(first: Dataset, second: Dataset) -> Dataset:
    """Two sets as one, in order of event time; a record that is in both (equal in every field) counts once.

    The later set's look-ups and label are taken for it: history first, then the archive, which has what was scored.
    """
    mine = set(map(_encode, second.rows))
    rest = only(first, np.array([_encode(row) not in mine for row in first.rows], dtype=np.bool_))
    times = np.concatenate([rest.times, second.times])
    order = np.argsort(times, kind="stable")
    rows = [*rest.rows, *second.rows]
    refused = dict(first.refused)
    for reason, n in second.refused.items():
        refused[reason] = refused.get(reason, 0) + n
    return Dataset(
        [rows[i] for i in order.tolist()],
        take(_beside(rest.found, second.found), order.tolist()),
        np.concatenate([rest.y, second.y])[order],
        times[order],
        np.concatenate([rest.known, second.known])[order],
        refused,
        first.unlabelled + second.unlabelled,
        first.young + second.young,
        first.duplicates + second.duplicates + len(first) - len(rest),
        labelled=first.labelled and second.labelled,
    )


def _beside(first: Found, second: Found) -> Found:
    return Found(
        values={group: _both(column, second.values[group]) for group, column in first.values.items()},
        ages={group: _both(column, second.ages[group]) for group, column in first.ages.items()},
        causes={group: _both(column, second.causes[group]) for group, column in first.causes.items()},
    )


def _both(first: Sequence[T], second: Sequence[T]) -> list[T]:
    return [*first, *second]


def _hash(row: object) -> int:
    return int.from_bytes(blake2b(_encode(row), digest_size=8, key=_SALT).digest(), "big")
