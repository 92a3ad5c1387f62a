"""From rows and looked-up values to the matrix: the one code path of scoring, training and replay, so no skew.

A missing number and an unseen or missing category are NaN in the matrix; every runtime was checked to agree on that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from shared.core import reasons
from shared.core.bundle import Column
from shared.core.codec import RecordCodec, Row
from shared.core.pipeline import FeatureSpec, PipelineSpec
from shared.core.ports import Found

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
DEGRADED, STALE, UNSEEN, OUT_OF_RANGE = "degraded", "stale", "unseen", "out_of_range"
FIRST = "first"
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Matrix:
    """What a model sees of n records, and what must be said of them.

    `values` is (n, d) in column order; `flags[name]` is (n,), present only where any record has that flag; `refused`
    maps a row's index to (reason, detail) by the declared policies.
    """

    values: Floats
    flags: Mapping[str, Flags]
    refused: Mapping[int, tuple[str, str]]


class FeatureBuilder:
    """Builds matrices for one pipeline and one set of columns.

    Args:
        spec: the pipeline.
        codec: the codec that made the rows.
        columns: the bundle's columns, in the model's order; each names a feature of the pipeline.

    Raises:
        KeyError: a column is no feature of the pipeline (bundles are checked before).
    """

    def __init__(self, spec: PipelineSpec, codec: RecordCodec, columns: Sequence[Column]) -> None:
        by_name = {feature.name: feature for feature in spec.features}
        self._features = [by_name[column.name] for column in columns]
        self._codes = [{c: float(i) for i, c in enumerate(column.categories)} for column in columns]
        self._spec, self._codec = spec, codec
        plain = [j for j, f in enumerate(self._features) if self._is_plain(f)]
        self._plain = np.array(plain, dtype=np.intp)
        self._plain_get = attrgetter(*(codec.attribute[self._features[j].source] for j in plain)) if plain else None
        self._rest = [j for j in range(len(columns)) if j not in set(plain)]
        self._ranges = [
            (codec.getter(name), f.minimum, f.maximum)
            for name, f in codec.fields.items()
            if f.out_of_range == "flag" and (f.minimum is not None or f.maximum is not None)
        ]

    def _is_plain(self, feature: FeatureSpec) -> bool:
        if feature.kind != "numeric" or feature.lookup:
            return False
        field = self._codec.fields[feature.source]
        return field.required and not field.nullable

    def matrix(self, rows: Sequence[Row], found: Found) -> Matrix:
        """Build the matrix of n rows.

        Args:
            rows: n decoded rows.
            found: the looked-up groups of the same rows, as of each row's event time.
        """
        n = len(rows)
        values = np.empty((n, len(self._features)), dtype=np.float32)
        flags: dict[str, Flags] = {}
        refused: dict[int, tuple[str, str]] = {}
        with np.errstate(over="ignore"):  # what overflows float32 becomes inf, and is refused below
            if self._plain_get is not None and n:
                got: Iterable[Any] = map(self._plain_get, rows)
                flat = chain.from_iterable(got) if len(self._plain) > 1 else got
                plain = np.fromiter(flat, dtype=np.float32, count=n * len(self._plain))
                values[:, self._plain] = plain.reshape(n, len(self._plain))
            columns = self._looked_up(found, n)
            for j in self._rest:
                feature = self._features[j]
                raw = columns[feature.lookup, feature.source] if feature.lookup else self._of_rows(feature.source, rows)
                values[:, j] = self._column(j, raw, flags, refused)
        self._mark(rows, found, flags, refused)
        for i in np.flatnonzero(np.isinf(values).any(axis=1)).tolist():
            refused.setdefault(i, (reasons.OUT_OF_RANGE, "a value is too large for the model's 32-bit numbers"))
        return Matrix(values, flags, refused)

    def _of_rows(self, field: str, rows: Sequence[Row]) -> list[Any]:
        get = self._codec.getter(field)
        return [None if v is UNSET else v for v in map(get, rows)]

    def _looked_up(self, found: Found, n: int) -> dict[tuple[str, str], list[Any]]:
        """The looked-up columns. Few distinct versions serve many rows: each is taken apart once."""
        columns: dict[tuple[str, str], list[Any]] = {}
        for group in {f.lookup for f in self._features if f.lookup}:
            versions = found.values.get(group) or [None] * n
            place: dict[int, int] = {}
            order = [place.setdefault(id(v), len(place)) for v in versions]
            distinct = {id(v): v for v in versions}
            for field in {f.source for f in self._features if f.lookup == group}:
                table = [None if distinct[k] is None else distinct[k].get(field) for k in place]  # type: ignore[union-attr]
                columns[group, field] = [table[k] for k in order]
        return columns

    def _column(
        self, j: int, raw: list[Any], flags: dict[str, Flags], refused: dict[int, tuple[str, str]]
    ) -> NDArray[np.float64]:
        feature, codes = self._features[j], self._codes[j]
        if feature.missing != "nan":
            raw = self._fill(feature, raw, refused)
        if feature.kind == "numeric":
            return np.array([NAN if v is None else v for v in raw], dtype=np.float64)
        coded = np.array([codes.get(_text(v), NAN) for v in raw], dtype=np.float64)
        missing_codes = np.isnan(coded)
        if missing_codes.any():
            unseen = np.array([v is not None for v in raw]) & missing_codes
            if unseen.any():
                flags[UNSEEN] = flags.get(UNSEEN, np.zeros(len(raw), dtype=np.bool_)) | unseen
        return coded

    def _fill(self, feature: FeatureSpec, raw: list[Any], refused: dict[int, tuple[str, str]]) -> list[Any]:
        if feature.missing == "default":
            return [feature.default if v is None else v for v in raw]
        for i, v in enumerate(raw):
            if v is None:
                refused.setdefault(i, (reasons.MISSING_VALUE, f"feature {feature.name} has no value"))
        return raw

    def _mark(
        self, rows: Sequence[Row], found: Found, flags: dict[str, Flags], refused: dict[int, tuple[str, str]]
    ) -> None:
        for group, causes in found.causes.items():
            if not any(causes):
                continue
            stale = np.array([c == STALE for c in causes])
            gone = np.array([v is None for v in found.values[group]])
            first = np.array([c == FIRST for c in causes])
            for name, marked in ((STALE, stale), (DEGRADED, gone), (FIRST, first)):
                if marked.any():
                    flags[name] = flags.get(name, np.zeros(len(rows), dtype=np.bool_)) | marked
            if self._spec.lookups[group].on_missing == "reject":
                for i in np.flatnonzero(gone).tolist():
                    refused.setdefault(i, (reasons.MISSING_LOOKUP, f"group {group}: {causes[i]}"))
        for get, low, high in self._ranges:
            outside = _outside(list(map(get, rows)), low, high)
            if outside.any():
                flags[OUT_OF_RANGE] = flags.get(OUT_OF_RANGE, np.zeros(len(rows), dtype=np.bool_)) | outside


def learn_columns(spec: PipelineSpec, codec: RecordCodec, rows: Sequence[Row], found: Found) -> tuple[Column, ...]:
    """The columns of a new model: features in file order, categories declared or, sorted, as met in these rows."""
    columns: list[Column] = []
    for feature in spec.features:
        if feature.kind == "numeric":
            columns.append(Column(feature.name, "numeric"))
            continue
        met: Iterable[Any] = feature.categories or ()
        if feature.categories is None:
            met = sorted({_text(v) for v in _raw(feature, codec, rows, found) if v is not None and v is not UNSET})
        columns.append(Column(feature.name, "category", tuple(met)))
    return tuple(columns)


def _raw(feature: FeatureSpec, codec: RecordCodec, rows: Sequence[Row], found: Found) -> Iterable[Any]:
    if feature.lookup:
        return [None if v is None else v.get(feature.source) for v in found.values.get(feature.lookup, ())]
    get: Callable[[Row], Any] = codec.getter(feature.source)
    return map(get, rows)


def _text(value: Any) -> Any:
    """Categories are text; a boolean is its JSON word."""
    return ("true" if value else "false") if isinstance(value, bool) else value


def _outside(raw: list[Any], low: float | None, high: float | None) -> Flags:
    values = np.array([NAN if v is None or v is UNSET else v for v in raw], dtype=np.float64)
    outside = np.zeros(len(raw), dtype=np.bool_)
    if low is not None:
        outside |= values < low
    if high is not None:
        outside |= values > high
    return outside
