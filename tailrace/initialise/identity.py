"""Rows become records: each with a time, an id of its own and a key; the others are put aside with their reason."""

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tailrace.initialise.plan import Findings, Roles, Sheet
from tailrace.initialise.rows import Rejected, text_of
from tailrace.initialise.types import Typed, as_texts


def with_time(sheet: Sheet, time: str, say: Findings) -> Sheet:
    """Without the rows that have no time."""
    if not time:
        return sheet
    typed = sheet.columns[time]
    return _without(sheet, sheet.missing(time), say, lambda i: _no_time(typed, i))


def with_ids(sheet: Sheet, name: str, say: Findings) -> tuple[Sheet, NDArray[np.object_]]:
    """Without exact copies and rows that lack the id; and the ids, each once.

    Two rows with one id that are not equal are two records: the later ones get `-2`, `-3` behind it.
    """
    if not name:
        return sheet, np.array([f"line-{line}" for line in sheet.lines().tolist()], dtype=object)
    sheet = _without(sheet, sheet.missing(name), say, lambda _: f"no value in {name}, the id")
    copies = _copies(sheet, name)
    if copies:
        gone = np.isin(sheet.keep, list(copies))
        sheet = _without(sheet, gone, say, lambda i: f"an exact copy of line {copies[i]}")
        say.guess("exact copies", f"{len(copies):,} left out", f"rows that repeat another one, {name} and all")
    ids, changed = _unique([_printable(text) for text in as_texts(sheet.columns[name])[sheet.keep].tolist()])
    if changed:
        say.guess(
            "repeated ids", f"{changed:,} made unique", "different rows with one id: -2, -3 ... behind it", "--id COL"
        )
    return sheet, np.array(ids, dtype=object)


def keys_of(sheet: Sheet, roles: Roles, ids: NDArray[np.object_], say: Findings) -> NDArray[np.object_]:
    """The key of each record: its entity, or its id where that is unknown."""
    if not roles.key:
        return ids
    texts = as_texts(sheet.columns[roles.key])[sheet.keep].tolist()
    lacking = sum(text is None for text in texts)
    if lacking:
        say.warnings.append(f"{roles.key}: {lacking:,} rows lack the key; each gets its id, as an entity of its own")
    return np.array([i if t is None else _printable(t) for t, i in zip(texts, ids.tolist(), strict=True)], dtype=object)


def _without(sheet: Sheet, gone: NDArray[np.bool_], say: Findings, why: Callable[[int], str]) -> Sheet:
    for i in sheet.keep[gone].tolist():
        start, end = int(sheet.table.starts[i]), int(sheet.table.ends[i])
        say.rejected.append(Rejected(start + 1, why(i), text_of(sheet.source, start, end)))
    return Sheet(sheet.source, sheet.table, sheet.columns, sheet.keep[~gone])


def _no_time(typed: Typed, i: int) -> str:
    text = typed.column.texts[int(typed.column.codes[i])]
    return f'no time in {typed.name}: "{text}"' if text else f"no time in {typed.name}"


def _copies(sheet: Sheet, name: str) -> dict[int, int]:
    """Rows that equal an earlier one in every cell, with that one's line."""
    codes = sheet.columns[name].column.codes[sheet.keep]
    repeated = np.flatnonzero(np.bincount(codes)[codes] > 1)
    first: dict[tuple[int, ...], int] = {}
    copies: dict[int, int] = {}
    cells = [typed.column.codes for typed in sheet.columns.values()]
    for i in sheet.keep[repeated].tolist():
        row = tuple(int(column[i]) for column in cells)
        if row in first:
            copies[i] = first[row]
        else:
            first[row] = int(sheet.table.starts[i]) + 1
    return copies


def _unique(texts: list[str]) -> tuple[list[str], int]:
    taken, seen, made, changed = set(texts), Counter[str](), [], 0
    for text in texts:
        seen[text] += 1
        name = text
        if seen[text] > 1:
            name = f"{text}-{seen[text]}"
            while name in taken:
                seen[text] += 1
                name = f"{text}-{seen[text]}"
            taken.add(name)
            changed += 1
        made.append(name)
    return made, changed


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
