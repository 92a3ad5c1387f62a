"""Tables as Parquet bytes and back: the same rows give the same bytes, so that writing twice changes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

Kind = Literal["int", "float", "text", "time", "words"]
Schema = Mapping[str, Kind]
"""Columns in order. `time` is an integer of ms since 1970 UTC here, an instant in the file; `words` a list of text."""
Table = Any
"""A `pyarrow.Table`; nobody but this file takes it apart."""

_TYPES = {
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "time": pa.timestamp("ms", "UTC"),
    "words": pa.list_(pa.string()),
}


class UnreadableError(ValueError):
    """These bytes are no Parquet file, or not one of this schema."""


def make(columns: Mapping[str, Sequence[Any]], schema: Schema) -> Table:
    """A table of columns of equal length; None is null. Every column of the schema must be there."""
    arrays = [pa.array(columns[name], type=_TYPES[kind]) for name, kind in schema.items()]
    return pa.Table.from_arrays(arrays, names=list(schema))


def joined(tables: Sequence[Table]) -> Table:
    """All rows, in order; at least one table, of one schema."""
    return pa.concat_tables([table.replace_schema_metadata() for table in tables])


def encode(table: Table, metadata: Mapping[str, str]) -> bytes:
    """The file of a table. Equal tables and metadata give equal bytes (with one version of the library)."""
    whole = table.combine_chunks().replace_schema_metadata(dict(metadata))
    out = pa.BufferOutputStream()
    pq.write_table(whole, out, compression="zstd", version="2.6", store_schema=True)
    return cast("bytes", out.getvalue().to_pybytes())


def decode(content: bytes, schema: Schema) -> tuple[Table, dict[str, str]]:
    """The columns of a schema, and the metadata; a column that is not there is null, any other is left out.

    Raises:
        UnreadableError: it is no whole Parquet file, or a column is of another type.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            there, texts = set(file.schema_arrow.names), _texts(file)
            # With threads, or over Python's own files, a process that ends soon afterwards may be aborted or hang
            # (apache/arrow 34314, 50482; seen with 25.0.1). Files are small: threads would gain nothing.
            found = file.read([name for name in schema if name in there], use_threads=False)
        table = pa.Table.from_arrays(
            [
                found[name].cast(_TYPES[kind]) if name in there else pa.nulls(found.num_rows, _TYPES[kind])
                for name, kind in schema.items()
            ],
            names=list(schema),
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UnreadableError(" ".join(str(error).split())[:200]) from None
    return table, texts


def footer(file: BinaryIO) -> tuple[int, dict[str, str]]:
    """How many rows a file has, and its metadata; only its end is read.

    Raises:
        UnreadableError: it is no whole Parquet file.
    """
    try:
        with pq.ParquetFile(file) as opened:
            return opened.metadata.num_rows, _texts(opened)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UnreadableError(" ".join(str(error).split())[:200]) from None


def take(table: Table, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Table:
    """Some of the rows, by their numbers (in that order) or by a mask."""
    return table.filter(pa.array(rows)) if rows.dtype == np.bool_ else table.take(pa.array(rows))


def numbers(table: Table, name: str) -> NDArray[np.int64]:
    """An integer or time column; null is the lowest integer there is."""
    column = table[name]
    column = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    return cast("NDArray[np.int64]", pc.fill_null(column, np.iinfo(np.int64).min).to_numpy())


def values(table: Table, name: str) -> list[Any]:
    """A column as Python values: `time` as integers, `words` as lists, null as None."""
    column = table[name]
    column = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    return cast("list[Any]", column.to_pylist())


def raws(table: Table, name: str) -> list[bytes]:
    """A text column as UTF-8."""
    return cast("list[bytes]", table[name].cast(pa.binary()).to_pylist())


def codes(table: Table, name: str) -> NDArray[np.int64]:
    """A number for each row: equal where the text is equal, in the order in which texts first come."""
    encoded = table[name].combine_chunks().dictionary_encode()
    whole = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    return np.asarray(whole.indices, dtype=np.int64)


def _texts(file: Any) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()}
