"""Which column is the label, the event time, the id and the key: by flag, else by content and name, and said why."""

import re

import numpy as np

from shared.core.errors import UserError
from tailrace.initialise.plan import Findings, Request, Roles, Sheet, column_named
from tailrace.initialise.types import Typed

_LABELS = (
    *("label", "target", "y", "class", "outcome", "response", "result", "churn", "churned", "survived", "fraud"),
    *("default", "diagnosis", "species", "quality", "price", "delay", "duration", "rating", "grade", "status"),
)
_IDS = re.compile(r"(?:^|[_\W])(?:id|uuid|guid|no|nr|number|ref|reference|rowid|index)$|[a-z](?:Id|ID)$", re.IGNORECASE)
_ENTITIES = re.compile(
    r"customer|user|client|account|device|machine|sensor|vehicle|aircraft|tail|station|store|shop|patient|individual|"
    r"person|member|card|driver|product|equipment|host|session|zone|employee|household|company|subject|kunde",
    re.IGNORECASE,
)
_LATER = re.compile(r"birth|dob|expir|end|due|close|update|deliver|arriv|return|actual", re.IGNORECASE)
_EARLIEST, _LATEST = 315_532_800_000, 4_102_444_800_000  # 1980, which the codec sets, and 2100
_FEW_DOUBLES = 0.01  # share of repeated ids that still makes a column the id
_MANY_GAPS = 0.1


def choose_label(sheet: Sheet, ask: Request, say: Findings) -> str:
    """The label's column; empty where there is none."""
    if ask.no_label:
        _no_label(say, "as asked")
        return ""
    if ask.label:
        name = column_named(ask.label, sheet.columns, "--label")
        if sheet.columns[name].kind == "empty":
            raise UserError(f"--label {name}: no row has a value in this column", remedy="name another column")
        say.guess("label", name, "as asked", "--label")
        return name
    good = [name for name, typed in sheet.columns.items() if name not in ask.drop and _may_be_label(typed)]
    by_name = [name for word in _LABELS for name in reversed(good) if word in re.split(r"[^a-z0-9]+", name.lower())]
    last = [name for name in sheet.columns if name not in ask.drop][-1:]
    if by_name:
        say.guess("label", by_name[0], "by its name", "--label COL, --no-label")
        return by_name[0]
    if last and last[0] in good:
        say.guess("label", last[0], "the last column", "--label COL, --no-label")
        return last[0]
    _no_label(say, f"no column is named like one, and the last ({''.join(last)}) cannot be one")
    return ""


def choose_time(sheet: Sheet, ask: Request, say: Findings, label: str) -> str:
    """The event time's column; empty where there is none."""
    if ask.time.lower() == "none":
        _no_time(say, "as asked")
        return ""
    if ask.time:
        name = column_named(ask.time, sheet.columns, "--time")
        if (typed := sheet.columns[name]).kind != "time":
            raise UserError(f"--time {name}: holds no dates ({typed.why})", remedy="name another column, or none")
        if why := _unfit_time(typed):
            raise UserError(f"--time {name}: {why}", remedy="name another column, or none")
        say.guess("event time", name, f"as asked; {typed.why}", "--time")
        return name
    found = [typed for typed in sheet.columns.values() if typed.kind == "time" and typed.name not in (label, *ask.drop)]
    good = [typed for typed in found if not _unfit_time(typed) and typed.missing.mean() <= _MANY_GAPS]
    if not good:
        why = f"{found[0].name}: {_unfit_time(found[0]) or 'too many rows lack it'}" if found else "no column has dates"
        _no_time(say, why)
        return ""
    best = min(good, key=lambda typed: (_LATER.search(typed.name) is not None, float(typed.missing.mean())))
    others = f"; not {', '.join(typed.name for typed in good if typed is not best)}" if len(good) > 1 else ""
    say.guess("event time", best.name, f"{best.why}{others}", "--time COL, --time none, --dates")
    return best.name


def choose_id(sheet: Sheet, ask: Request, say: Findings, taken: set[str]) -> str:
    """The id's column; empty where one must be made."""
    if ask.id:
        name = column_named(ask.id, sheet.columns, "--id")
        if name in taken:
            raise UserError(f"--id {name}: is the label or the event time already", remedy="name another column")
        say.guess("id", name, "as asked", "--id")
        return name
    rows = _different_rows(sheet)
    for name, typed in sheet.columns.items():
        if name in taken or typed.asked or typed.kind not in ("text", "integer", "category") or typed.missing.any():
            continue
        doubles = 1 - typed.distinct / max(rows, 1)
        named = _IDS.search(name) is not None
        counted = typed.kind == "integer" and _is_counter(typed)
        if (named and doubles <= _FEW_DOUBLES) or (
            doubles == 0 and (counted or (typed.kind == "text" and _word(typed)))
        ):
            why = "a different value in each row" if not doubles else "nearly always different"
            say.guess("id", name, why + _sent_as_text(typed), "--id COL")
            return name
    say.guess(
        "id", "made: line-2, line-3 ...", "no column names each row; producers send an id of their own", "--id COL"
    )
    return ""


def choose_key(sheet: Sheet, ask: Request, say: Findings, taken: set[str]) -> str:
    """The entity's column; empty where the id is the key."""
    if ask.key:
        name = column_named(ask.key, sheet.columns, "--key")
        if name in taken:
            raise UserError(f"--key {name}: has another role already", remedy="name another column")
        say.guess("key", name, "as asked", "--key")
        return name
    free = [typed for typed in sheet.columns.values() if typed.name not in taken and not typed.asked]
    best = max(free, key=lambda typed: _key_score(sheet, typed), default=None)
    if best is not None and _key_score(sheet, best):
        each = len(sheet.table) / max(best.distinct, 1)
        why = f"{best.distinct:,} entities of {each:.1f} records each, by its name{_sent_as_text(best)}"
        say.guess("key", best.name, why, "--key COL")
        return best.name
    say.guess("key", "the id", "no column names an entity that comes again", "--key COL")
    say.lost.append("no key: records have no entity, so their order is not kept and nothing can be looked up by it")
    return ""


def role_names(sheet: Sheet, label: str, name: str, key: str, time: str) -> Roles:
    """Roles with names for the fields that must be made."""

    def free(wished: str) -> str:
        while wished in sheet.columns:
            wished = f"record_{wished}"
        return wished

    return Roles(label, name, key, time, name or free("id"), time or free("event_time"))


def is_id_like(typed: Typed) -> bool:
    """Whether whole numbers only name things."""
    return typed.kind == "integer" and _IDS.search(typed.name) is not None and typed.distinct > 20  # noqa: PLR2004 - few ones are groups


def _may_be_label(typed: Typed) -> bool:
    if typed.kind == "category":
        return 2 <= typed.distinct <= 50  # noqa: PLR2004 - classes
    return typed.kind in ("boolean", "integer", "number") and typed.distinct > 1 and _IDS.search(typed.name) is None


def _unfit_time(typed: Typed) -> str:
    there = typed.values[~typed.missing]
    if int(there.min()) < _EARLIEST or int(there.max()) > _LATEST:
        return "has times before 1980 or after 2100, which no record may have"
    return "" if typed.distinct > 1 else "is the same in every row"


def _sent_as_text(typed: Typed) -> str:
    return "; sent as text" if typed.kind == "integer" else ""


def _different_rows(sheet: Sheet) -> int:
    """How many rows there are without exact copies, by a hash of their cells."""
    hashes = np.zeros(len(sheet.table), dtype=np.uint64)
    for typed in sheet.columns.values():
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + typed.column.codes.astype(np.uint64)
    return len(np.unique(hashes))


def _is_counter(typed: Typed) -> bool:
    low, high = float(np.nanmin(typed.values)), float(np.nanmax(typed.values))
    return low in (0.0, 1.0) and high - low + 1 == len(typed.values)


def _word(typed: Typed) -> bool:
    return all(" " not in text for text in typed.column.texts[:1000])


def _key_score(sheet: Sheet, typed: Typed) -> int:
    rows = len(sheet.table)
    if typed.kind not in ("text", "category", "integer") or not 1 < typed.distinct < rows / 1.2:
        return 0
    if typed.missing.mean() > _MANY_GAPS:
        return 0
    named = re.search(r"(?:^|[_\W])(?:id|uuid)$|[a-z](?:Id|ID)$", typed.name, re.IGNORECASE) is not None
    return 2 * (_ENTITIES.search(typed.name) is not None) + named


def _no_label(say: Findings, why: str) -> None:
    say.guess("label", "none", why, "--label COL")
    say.lost.append("no label: how unusual a record is can be scored, but never whether that was right")
    say.lost.append("no label: no accuracy, no quality over time, no retraining by errors")


def _no_time(say: Findings, why: str) -> None:
    say.guess("event time", "made: event_time", f"{why}; producers stamp it", "--time COL")
    say.lost.append("no time: the history keeps the order of rows only, on made-up dates from 2000-01-01")
    say.lost.append(
        "no time: no seasonality, no features as of an event; training is judged on the last rows, not on later times"
    )
