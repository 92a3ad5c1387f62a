"""Which records lie in which declared slice, by the names that scorecards use."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.core.codec import RecordCodec, Row
from shared.core.pipeline import PipelineSpec


def slices_of(spec: PipelineSpec, codec: RecordCodec, rows: Sequence[Row]) -> dict[str, NDArray[np.bool_]]:
    """A mask over the rows of each slice that has any, by name: `carrier=AA`, `distance<500`, `distance>=1000`.

    Args:
        spec: the pipeline; `monitoring.slices`.
        codec: that decoded the rows.
        rows: n rows.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    for field, cuts in spec.monitoring.slices.items():
        names = [_name(field, cuts, value) for value in map(codec.getter(field), rows)]
        for name in sorted(set(names)):
            masks[name] = np.array([one == name for one in names], dtype=np.bool_)
    return masks


def _name(field: str, cuts: Sequence[Any], value: Any) -> str:
    if isinstance(cuts[0], str):
        word = ("true" if value else "false") if isinstance(value, bool) else value
        return f"{field}={word if word in cuts else '*'}"
    if not isinstance(value, int | float):
        return f"{field}=?"
    place = bisect_right(cuts, value)
    return f"{field}<{cuts[place]:g}" if place < len(cuts) else f"{field}>={cuts[-1]:g}"
