"""The rows of the table of metrics: kinds, the values that labels can take, and makers of rows.

A closed label takes the listed values, an open one a bounded shape: no text from outside can become a label.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
OTHER: Final = "other"

# What an open label may look like. A label that is neither closed nor here does not exist (`_metric` sees to it).
_SHAPES: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "partition": re.compile(r"[0-9]{1,5}"),
        "reason": re.compile(r"[a-z][a-z0-9_]{0,39}"),
        "pipeline": re.compile(r"[A-Za-z0-9._-]{1,100}"),
        "version": re.compile(r"[A-Za-z0-9._+:-]{1,64}"),
        "digest": re.compile(r"[A-Za-z0-9:]{1,80}"),
        "runtime": re.compile(r"[a-z0-9_-]{1,20}"),
        "service": re.compile(r"[a-z][a-z0-9._-]{0,39}"),
        "python": re.compile(r"[0-9][A-Za-z0-9.+]{0,15}"),
        "figure": re.compile(r"[a-z][a-z0-9_]{0,39}"),
        "metric": re.compile(r"[A-Za-z0-9_.:/-]{1,100}"),
        "feature": re.compile(r"[A-Za-z0-9_.:-]{1,100}"),
    }
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table. `values` holds the closed labels; a label of `labels` that is not in it is open."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def clean(self, label: str, value: str) -> str:
        """The value as it may be exported: itself where the label allows it, else `other`."""
        closed = self.values.get(label)
        if closed is not None:
            return value if value in closed else OTHER
        return value if _SHAPES[label].fullmatch(value) else OTHER


def _metric(kind: Kind, meaning: str, *open_labels: str, **closed: str) -> Metric:
    if unknown := [label for label in open_labels if label not in _SHAPES]:
        raise ValueError(f"open labels without a shape: {unknown}")
    return Metric(
        kind=kind,
        help=meaning,
        labels=(*open_labels, *closed),
        values=MappingProxyType({label: frozenset(values.split()) for label, values in closed.items()}),
    )


def counter(meaning: str, *open_labels: str, **closed: str) -> Metric:
    """A counter; open labels first."""
    return _metric("counter", meaning, *open_labels, **closed)


def gauge(meaning: str, *open_labels: str, **closed: str) -> Metric:
    """A gauge; open labels first."""
    return _metric("gauge", meaning, *open_labels, **closed)


def histogram(meaning: str, buckets: tuple[float, ...], **closed: str) -> Metric:
    """A histogram with these upper bounds."""
    row = _metric("histogram", meaning, **closed)
    return Metric(row.kind, row.help, row.labels, buckets, row.values)
