"""What a pipeline's generate.py is asked for, and what it gives: a stream with its truth beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.core.quality import Task
from shared.simulation.scenario import Scenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Column = NDArray[Any]
START_MS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
HISTORY = 90_000  # records of a history: the first third trains, the rest is there to be replayed


@dataclass(frozen=True, slots=True)
class Request:
    """A stream to make: so many records under a scenario; the same request gives the same world."""

    scenario: Scenario
    records: int
    seed: int
    start_ms: int = START_MS


@dataclass(frozen=True, slots=True)
class Truth:
    """What came true of n records, and what could be known of it.

    `y` (n,) has class codes in the order of `classes`, or values. A classification has `posterior` (n, k), the
    probability of each class given all that the record and its features show as of its event; a regression `mean`
    and `median` (n,) of the target given the same.
    """

    y: Floats
    classes: tuple[str, ...] = ()
    posterior: Floats | None = None
    mean: Floats | None = None
    median: Floats | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """m labels in order of their time: the record's place, what is said (as `Truth.y`), when (ms), the revision."""

    index: Ints
    value: Floats
    time: Ints
    revision: Ints


@dataclass(frozen=True, slots=True)
class Updates:
    """m feature updates of one group, as producers publish them; times in ms, NaN is not measured."""

    group: str
    entity: Column
    time: Ints
    values: Mapping[str, Column]


class Change(msgspec.Struct, frozen=True):
    """One change as it happened: what, to which field, from when to when (ms of event time; abrupt: the same)."""

    kind: str
    field: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A simulated stream of n records in order of event time, and its truth.

    `records` has a column (n,) by field name: numbers, texts, booleans, or objects with None for what is not there.
    `id_field` and `key_field` name the columns that labels refer to. `times` are the records' event times in ms.
    """

    task: Task
    id_field: str
    key_field: str
    records: Mapping[str, Column]
    times: Ints
    truth: Truth
    labels: Labels
    updates: tuple[Updates, ...]
    changes: tuple[Change, ...]

    def __len__(self) -> int:
        return len(self.times)


def changes(scenario: Scenario, times: Ints, fields: Mapping[str, str]) -> tuple[Change, ...]:
    """The moments of a scenario's drifts in a stream.

    Args:
        scenario: whose drifts.
        times: event times of the records, ascending (ms).
        fields: by kind of drift, the field that this pipeline lets it touch.
    """

    def moment(share: float) -> int:
        return int(times[min(int(np.ceil(share * len(times))), len(times) - 1)])

    return tuple(
        Change(drift.kind, drift.field or fields.get(drift.kind, ""), moment(drift.start), moment(drift.end))
        for drift in scenario.drifts
    )


def without(column: Column, gone: NDArray[np.bool_]) -> Column:
    """A column whose values are None where `gone`; itself where nothing is."""
    if not gone.any():
        return column
    objects = np.array(column.tolist(), dtype=object)
    objects[gone] = None
    return objects
