"""Counts over the reference's bins and over the declared slices: records taken apart by the pipeline's file alone."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from shared.core.pipeline import FeatureSpec, PipelineSpec
from tailrace.recompute.entries import looker
from tailrace.recompute.figures import Cards

_TYPES: dict[str, Any] = {
    "string": str,
    "integer": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    "number": float,
    "boolean": bool,
    "timestamp": int | Annotated[datetime, Meta(tz=True)],
}


@dataclass(frozen=True, slots=True)
class Known:
    """What a version's bundle says: its columns' words by name (None: a number), and `reference.json` as it stands."""

    columns: Mapping[str, tuple[str, ...] | None]
    reference: Mapping[str, Any]


Row = Mapping[str, Any] | None
"""The fields of a record; None where it cannot be read."""


def reader_of(spec: PipelineSpec) -> Callable[[msgspec.Raw], Row]:
    """Reads the fields of a record that features and slices are of; a value of another type makes it unreadable."""
    names = {f.source for f in spec.features if not f.lookup} | set(spec.monitoring.slices)
    fields: list[tuple[str, Any, Any]] = []
    for name in sorted(names & spec.record.fields.keys()):
        field = spec.record.fields[name]
        kind = _TYPES[field.type] | None if field.nullable else _TYPES[field.type]
        fields.append((name, kind, msgspec.NODEFAULT if field.required else None))
    types = {
        f"f{i}": kind if default is msgspec.NODEFAULT else kind | None for i, (_, kind, default) in enumerate(fields)
    }
    made = msgspec.defstruct(
        "Fields",
        [(short, kind, msgspec.field(name=name, default=default))
         for (short, kind), (name, _, default) in zip(types.items(), fields, strict=True)],
        kw_only=True,
    )  # fmt: skip
    decode, order = msgspec.json.Decoder(made).decode, [name for name, _, _ in fields]

    def read(record: msgspec.Raw) -> Row:
        try:
            return dict(zip(order, msgspec.structs.astuple(decode(record)), strict=True))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    return read


def count_slices(cards: Cards, frame: pd.DataFrame, rows: "pd.Series[Any]", spec: PipelineSpec) -> None:
    """Add the declared slices.

    Args:
        cards: added to.
        frame: of `observations`.
        rows: of each observation, its fields.
        spec: the pipeline.
    """
    for field, cuts in spec.monitoring.slices.items():
        of = [slice_of(field, cuts, None if row is None else row.get(field)) for row in rows]
        named = frame.assign(slice=pd.Series(of, index=frame.index, dtype=object))
        judged = named[named["labelled"]]
        cards.count(named, "slices.{}.n", "slice")
        cards.count(judged, "slices.{}.labelled", "slice")
        for what in ("errors", "loss", "bias"):
            cards.sum(judged, what, f"slices.{{}}.{what}", "slice")


def slice_of(field: str, cuts: tuple[Any, ...], value: Any) -> str:
    """The slice that a value is in, as it is published."""
    if isinstance(cuts[0], str):
        word = _text(value)
        return f"{field}={word if word in cuts else '*'}"
    if not isinstance(value, int | float):
        return f"{field}=?"
    at = bisect_right(cuts, value)
    return f"{field}<{cuts[at]:g}" if at < len(cuts) else f"{field}>={cuts[-1]:g}"


def count_features(cards: Cards, frame: pd.DataFrame, rows: "pd.Series[Any]", spec: PipelineSpec, known: Known) -> None:
    """Add the counts over one version's reference: of scores, of a regression's labels, of every feature.

    Args:
        cards: added to.
        frame: `observations` of that version.
        rows: of each of them, its fields.
        spec: the pipeline.
        known: of that version.
    """
    _over(cards, frame, frame["score"], known.reference["scores"], "answers")
    if spec.task == "regression":
        judged = frame[frame["labelled"]]
        _over(cards, judged, judged["value"], known.reference["scores"], "truths")
        placed = judged.assign(at=_places(judged["score"], known.reference["scores"]))
        cards.count(placed, "answer_labels[{}]", "at")
        cards.sum(placed, "loss", "answer_losses[{}]", "at")
    looked = frame["lookups"].map(looker(spec))
    for feature in spec.features:
        profile = known.reference["features"].get(feature.name)
        if profile is None or feature.name not in known.columns:
            continue
        raw = [_value(feature, row, found) for row, found in zip(rows, looked, strict=True)]
        words, values = known.columns[feature.name], pd.Series(raw, index=frame.index, dtype=object)
        if words is None:
            _over(cards, frame, values, profile, f"features.{feature.name}")
        else:
            at = values.map(lambda value, w=words, p=profile: _word(value, w, p))
            cards.count(frame.assign(at=at), f"features.{feature.name}.{{}}", "at")


def _over(cards: Cards, frame: pd.DataFrame, values: "pd.Series[Any]", profile: Mapping[str, Any], name: str) -> None:
    """Numbers over rising edges, as the 32-bit ones that a model sees; bin i is `edges[i-1] < value <= edges[i]`."""
    at = _places(values, profile).map(lambda place: "missing" if place is None else f"counts[{place}]")
    cards.count(frame.assign(at=at), f"{name}.{{}}", "at")


def _places(values: "pd.Series[Any]", profile: Mapping[str, Any]) -> "pd.Series[Any]":
    """The bin of each, None for no number."""
    edges = profile.get("edges", ())
    with np.errstate(over="ignore"):  # beyond the largest 32-bit number: infinite, in the last bin
        single = values.astype("float64").astype("float32").astype("float64")
    at = [bisect_left(edges, v) if v == v else None for v in single]  # noqa: PLR0124 - NaN is nothing
    return pd.Series(at, index=values.index, dtype=object)


def _word(value: Any, words: tuple[str, ...], profile: Mapping[str, Any]) -> str:
    if value is None:
        return "missing"
    told = profile.get("words", ())
    if value not in words:
        return "unseen"
    return f"counts[{told.index(value) if value in told else max(len(profile.get('counts', ())) - 1, 0)}]"


def _value(feature: FeatureSpec, row: Row, found: Mapping[str, Any]) -> Any:
    """A feature's value; of an unreadable record there is none, whatever the file says of missing ones."""
    if row is None:
        return None
    value = found.get(feature.lookup, {}).get(feature.source) if feature.lookup else row.get(feature.source)
    if value is None and feature.missing == "default":
        value = feature.default
    return _text(value) if feature.kind == "category" else value


def _text(value: Any) -> Any:
    return ("true" if value else "false") if isinstance(value, bool) else value
