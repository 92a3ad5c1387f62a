"""The history as training and replay read it: typed Parquet in order of time; and the rows that were left out."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tailrace.initialise.draft import Draft
from tailrace.initialise.plan import FieldPlan, Findings
from tailrace.initialise.types import as_texts

_TIME = pa.timestamp("ms", tz="UTC")


def records_table(made: Draft) -> Any:
    """All n records, a column a field, in order of event time."""
    order = made.timeline.order
    arrays = [_array(made, field).take(pa.array(order)) for field in made.fields]
    return pa.table(dict(zip([field.name for field in made.fields], arrays, strict=True)))


def labels_table(made: Draft) -> Any:
    """The labels that there are: id, value, and the time at which each was known."""
    order = made.timeline.order
    order = order[[made.target.y[i] is not None for i in order.tolist()]]
    numeric = made.target.task == "regression"
    values = [made.target.y[i] for i in order.tolist()]
    known = made.timeline.times[order] + made.timeline.delay_ms
    return pa.table(
        {
            "id": pa.array(made.ids[order].tolist(), pa.string()),
            "value": pa.array(values, pa.float64() if numeric else pa.string()),
            "time": pa.array(known, _TIME),
        }
    )


def write_history(made: Draft, folder: Path) -> list[str]:
    """Write `records.parquet`, `labels.parquet` and `rejected.csv`; gives their names."""
    pq.write_table(records_table(made), folder / "records.parquet")
    names = ["records.parquet"]
    if made.roles.label:
        pq.write_table(labels_table(made), folder / "labels.parquet")
        names.append("labels.parquet")
    write_rejected(made.say, folder / "rejected.csv")
    return [*names, "rejected.csv"]


def write_rejected(say: Findings, path: Path) -> None:
    """A line for each row of the file that is no record: where it stood, why, and its original text."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["line", "reason", "text"])
        writer.writerows([one.line, one.reason, one.text.replace("\0", "\\0")] for one in say.rejected)


def _array(made: Draft, field: FieldPlan) -> Any:
    roles = made.roles
    if field.name == roles.id_field:
        return pa.array(made.ids.tolist(), pa.string())
    if field.name == (roles.time or roles.time_field):
        return pa.array(made.timeline.times, _TIME)
    if field.name == roles.key:
        return pa.array(made.keys.tolist(), pa.string())
    values, missing = made.sheet.values(field.column), made.sheet.missing(field.column)
    if field.type == "string":
        return pa.array(as_texts(made.sheet.columns[field.column])[made.sheet.keep].tolist(), pa.string())
    return pa.array(_plain(field, values, missing), _ARROW[field.type], mask=missing)


def _plain(field: FieldPlan, values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    if field.type in ("integer", "boolean"):
        return np.where(missing, 0, values).astype(np.int64 if field.type == "integer" else np.bool_)
    return values


_ARROW: dict[str, Any] = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "timestamp": _TIME}
