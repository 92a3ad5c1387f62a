"""What went into one answer: each feature with what the record or a look-up had, and what the model made of it."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.core.bundle import Column
from shared.core.pipeline import PipelineSpec
from shared.core.records import Observation
from tailrace.why.terms import Input


def inputs_of(
    spec: PipelineSpec,
    observation: Observation,
    columns: tuple[Column, ...] = (),
    row: NDArray[Any] | None = None,
    importance: dict[str, float] | None = None,
) -> tuple[Input, ...]:
    """The features of an observation, in the model's order.

    Args:
        spec: the pipeline.
        observation: with the record as it left the scorer.
        columns: of the model; empty where it is not known.
        row: (d,), what the model saw; None where it is not known.
        importance: by feature.
    """
    record, ages = msgspec.json.decode(observation.record), observation.prediction.ages or {}
    by_name = {feature.name: feature for feature in spec.features}
    names = [column.name for column in columns] or list(by_name)
    found: list[Input] = []
    for j, name in enumerate(names):
        feature = by_name[name]
        values = (observation.lookups.get(feature.lookup) or {}) if feature.lookup else record
        found.append(
            Input(
                name,
                f"{feature.lookup or 'record'}.{feature.source}",
                values.get(feature.source),
                None if row is None else _seen(columns[j], float(row[j])),
                ages.get(feature.lookup) if feature.lookup else None,
                (importance or {}).get(name),
            )
        )
    return tuple(found)


def _seen(column: Column, value: float) -> float | str | None:
    if np.isnan(value):
        return None
    return column.categories[int(value)] if column.kind == "category" else value
