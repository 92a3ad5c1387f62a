"""From a CSV to a whole plan of a pipeline; nothing is written."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shared.core.errors import UserError
from shared.core.mistakes import near
from tailrace.initialise.fields import plan_fields
from tailrace.initialise.identity import keys_of, with_ids, with_time
from tailrace.initialise.plan import FieldPlan, Findings, Request, Roles, Sheet, Target, column_named
from tailrace.initialise.roles import choose_id, choose_key, choose_label, choose_time, role_names
from tailrace.initialise.rows import Table, read_table
from tailrace.initialise.source import DELIMITERS, Source, open_source
from tailrace.initialise.target import choose_target
from tailrace.initialise.timeline import Timeline, make_timeline
from tailrace.initialise.types import ASKED, Typed, type_of

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Draft:
    """A pipeline that could be written: n records in the file's order, and everything that was found out."""

    ask: Request
    sheet: Sheet
    roles: Roles
    target: Target
    fields: list[FieldPlan]
    timeline: Timeline
    ids: NDArray[np.object_]
    keys: NDArray[np.object_]
    say: Findings


def draft(ask: Request, progress: Progress) -> Draft:
    """Read a CSV and plan its pipeline.

    Args:
        ask: the file, and what the user says of it.
        progress: told in a line what is being done.

    Raises:
        UserError: the file cannot be read or cannot make a pipeline, or a flag does not fit it.
    """
    source = open_source(ask.path, ask.delimiter)
    progress(f"reading {source.size / 1e6:,.1f} MB")
    table = read_table(source)
    progress(f"{len(table):,} rows of {len(table.columns)} columns")
    say = Findings(rejected=list(table.rejected))
    ask = _resolved(ask, table)
    _say_file(source, table, say)
    columns = {column.name: _typed(source, ask, column.name, table) for column in table.columns}
    sheet = Sheet(source, table, columns, np.arange(len(table), dtype=np.intp))
    label = choose_label(sheet, ask, say)
    time = choose_time(sheet, ask, say, label)
    sheet = with_time(sheet, time, say)
    found = choose_id(sheet, ask, say, {label, time, *_not_asked_for(ask)})
    sheet, ids = with_ids(sheet, found, say)
    key = choose_key(sheet, ask, say, {label, time, found, *_not_asked_for(ask)})
    roles = role_names(sheet, label, found, key, time)
    target = choose_target(sheet, ask, say, label)
    timeline = make_timeline(sheet, target, ask, say, time)
    fields = plan_fields(sheet, roles, target, ask, say)
    say.rejected.sort(key=lambda one: one.line)
    return Draft(ask, sheet, roles, target, fields, timeline, ids, keys_of(sheet, roles, ids, say), say)


def _not_asked_for(ask: Request) -> set[str]:
    """Dropped columns, which are no id and no key unless a flag says both."""
    return set(ask.drop) - {ask.id, ask.key}


def _resolved(ask: Request, table: Table) -> Request:
    """The request with columns by their names in the record; a flag may call them as the file does.

    Raises:
        UserError: a flag names no column, or no kind.
    """
    known = {column.name: column for column in table.columns}
    as_written = {original: name for name, original in table.renamed.items() if original not in known}
    kinds = {}
    for name, kind in ask.kinds.items():
        if kind not in ASKED:
            raise UserError(f"--as {name}={kind}: is no kind of column", remedy=near(kind, ASKED))
        kinds[column_named(as_written.get(name, name), known, "--as")] = kind
    named = [column_named(as_written.get(name, name), known, "--drop") for name in ask.drop]
    drop = (*named, *(name for name, kind in kinds.items() if kind == "drop"))
    roles = {
        role: as_written.get(asked, asked) for role in ("label", "time", "id", "key") if (asked := getattr(ask, role))
    }
    return replace(ask, kinds=kinds, drop=drop, **roles)


def _typed(source: Source, ask: Request, name: str, table: Table) -> Typed:
    column = next(column for column in table.columns if column.name == name)
    typed = type_of(column, comma_first=source.delimiter == ";", order=ask.dates, asked=ask.kinds.get(name, ""))
    if typed.kind in ("integer", "number") and not np.isfinite(typed.values[~typed.missing]).all():
        raise UserError(f"--as {name}: holds no such values", remedy="leave it out")
    return typed


def _say_file(source: Source, table: Table, say: Findings) -> None:
    divided = DELIMITERS.get(source.delimiter, repr(source.delimiter))
    say.guess("file", f"{source.encoding}, cells divided by {divided}", f"{len(table):,} rows", "--delimiter")
    if source.encoding in ("Windows-1252", "Latin-1"):
        say.warnings.append(f"{source.path.name} is no UTF-8, so it was read as {source.encoding}: look at its accents")
    if table.rejected:
        first = table.rejected[0]
        say.warnings.append(f"{len(table.rejected):,} rows cannot be read (line {first.line}: {first.reason})")
    for name, original in table.renamed.items():
        say.guess(f"column {name}", "renamed", f"{original!r} is no name that a record can have, or stands twice")
