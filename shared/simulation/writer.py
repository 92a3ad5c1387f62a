"""A world as files: records, feature updates and labels as producers would leave them, and the truth in its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from shared.core.errors import UserError
from shared.simulation.facts import Facts, facts, write_facts
from shared.simulation.scenario import SCENARIOS
from shared.simulation.world import HISTORY, Column, Request, World

Table = dict[str, pa.Array]
_PARTS = ("records", "features", "labels", "truth")


@dataclass(frozen=True, slots=True)
class Written:
    """Where a world was written."""

    records: Path
    features: Path
    labels: Path
    truth: Path
    facts: Path


def write_history(simulate: Callable[[Request], World], folder: Path, seed: int) -> None:
    """The whole of a history hook: a stationary stream, into a folder that exists."""
    request = Request(SCENARIOS["stationary"], HISTORY, seed)
    write_folder(simulate(request), request, folder)


def write_folder(world: World, request: Request, folder: Path) -> tuple[Written, Facts]:
    """Write `records`, `features`, `labels` and `truth` as Parquet, and `truth.json`, into a folder that exists."""
    records, features, labels, truth = (folder / f"{name}.parquet" for name in _PARTS)
    return _write(world, request, Written(records, features, labels, truth, folder / "truth.json"))


def write_beside(world: World, request: Request, file: Path) -> tuple[Written, Facts]:
    """Write the records to a `.csv`, `.jsonl` or `.parquet` file, the rest beside it: `x.labels.csv`, `x.truth.json`.

    Raises:
        UserError: the file is of another kind.
    """
    if file.suffix not in _WRITERS:
        raise UserError(f"{file}: no kind of file that can be written", remedy=f"use {', '.join(_WRITERS)} or a folder")
    features, labels, truth = (file.with_suffix(f".{name}{file.suffix}") for name in _PARTS[1:])
    return _write(world, request, Written(file, features, labels, truth, file.with_suffix(".truth.json")))


def _write(world: World, request: Request, to: Written) -> tuple[Written, Facts]:
    write = _WRITERS[to.records.suffix]
    flat = to.records.suffix == ".csv"
    write({name: _array(column) for name, column in world.records.items()}, to.records)
    write(_features(world, flat=flat), to.features)
    write(_labels(world), to.labels)
    write(_truth(world), to.truth)
    found = facts(world, request)
    write_facts(found, to.facts)
    return to, found


def _array(column: Column) -> pa.Array:
    if column.dtype.kind in "OU":
        return pa.array(column.tolist(), from_pandas=True)
    return pa.array(column, from_pandas=True)


def _labels(world: World) -> Table:
    labels, names = world.labels, np.asarray(world.truth.classes)
    value = names[labels.value.astype(np.int64)] if len(names) else labels.value
    return {
        "id": _array(world.records[world.id_field][labels.index]),
        "key": _array(world.records[world.key_field][labels.index]),
        "value": _array(value),
        "time": _array(labels.time),
        "revision": _array(labels.revision),
    }


def _truth(world: World) -> Table:
    truth, columns = world.truth, {"id": _array(world.records[world.id_field])}
    if truth.posterior is not None:
        codes = truth.y.astype(np.int64)
        columns["value"] = _array(np.asarray(truth.classes)[codes])
        return columns | {f"p_{name}": _array(truth.posterior[:, k]) for k, name in enumerate(truth.classes)}
    known = {"value": truth.y, "mean": truth.mean, "median": truth.median}
    return columns | {name: _array(column) for name, column in known.items() if column is not None}


def _features(world: World, *, flat: bool) -> Table:
    """All groups in order of time; the values as a struct, or each as a column of its own (CSV)."""
    parts = world.updates
    if not parts:
        empty = pa.array([], type=pa.string())
        return {"group": empty, "entity": empty, "time": pa.array([], type=pa.int64()), "values": empty}
    time = np.concatenate([part.time for part in parts])
    entity = np.concatenate([part.entity for part in parts])
    group = np.repeat([part.group for part in parts], [len(part.time) for part in parts])
    order = np.lexsort((entity, group, time))
    table = {"group": _array(group[order]), "entity": _array(entity[order]), "time": _array(time[order])}
    values = _values(world, pa.array(order))
    if flat:
        return table | {f"values.{name}": column for name, column in values.items()}
    return table | {"values": pa.StructArray.from_arrays(list(values.values()), names=list(values))}


def _values(world: World, order: pa.Array) -> Table:
    """Each value of each group over all updates, null in those of other groups."""
    names = dict.fromkeys(name for part in world.updates for name in part.values)
    columns: Table = {}
    for name in names:
        kind = next(_array(part.values[name]).type for part in world.updates if name in part.values)
        pieces = [
            _array(part.values[name]) if name in part.values else pa.nulls(len(part.time), kind)
            for part in world.updates
        ]
        columns[name] = pa.concat_arrays(pieces).take(order)
    return columns


def _parquet(table: Table, path: Path) -> None:
    pq.write_table(pa.table(table), path, compression="zstd")


def _csv(table: Table, path: Path) -> None:
    pc.write_csv(pa.table(table), path, pc.WriteOptions(quoting_style="needed"))


def _json_lines(table: Table, path: Path) -> None:
    with path.open("wb") as file:
        for batch in pa.table(table).to_batches(8_192):
            for row in batch.to_pylist():
                file.write(msgspec.json.encode(dict(_present(row))) + b"\n")


def _present(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield name, dict(_present(value))
        elif value is not None:
            yield name, value


_WRITERS: dict[str, Callable[[Table, Path], None]] = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines}
