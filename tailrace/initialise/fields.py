"""The record's fields and the model's features: types, bounds, categories, and what is left out with its reason."""

import math

import numpy as np

from shared.core.errors import UserError
from tailrace.initialise.leaks import leak_of
from tailrace.initialise.plan import FieldPlan, Findings, Request, Roles, Sheet, Target
from tailrace.initialise.roles import is_id_like
from tailrace.initialise.types import MAX_CATEGORIES, Kind, Typed

_SHOWN = 30  # categories that are written down; more are learnt in training
_LONG = 4_096  # characters; a longer text has no place in a record
_TYPES: dict[Kind, str] = {"boolean": "boolean", "integer": "integer", "number": "number", "time": "timestamp"}


def plan_fields(sheet: Sheet, roles: Roles, target: Target, ask: Request, say: Findings) -> list[FieldPlan]:
    """Every field of the record, in the file's order; made ones first.

    Raises:
        UserError: no column is left for the model.
    """
    fields = []
    if not roles.id:
        fields.append(
            FieldPlan(
                roles.id_field,
                "string",
                optional=False,
                max_length=64,
                description="names the record; the history has the line of its row",
            )
        )
    if not roles.time:
        made = "when it happened; producers stamp it"
        fields.append(FieldPlan(roles.time_field, "timestamp", optional=False, description=made))
    dropped = set(ask.drop)
    for name, typed in sheet.columns.items():
        if name == roles.label:
            continue
        planned = _field(sheet, roles, target, typed, dropped, say)
        if planned is not None:
            fields.append(planned)
    if not any(field.feature for field in fields):
        raise UserError(
            f"{sheet.source.path}: no column is left that a model can use",
            remedy="say what a column is with --as COL=number or --as COL=category",
        )
    return fields


def _field(
    sheet: Sheet, roles: Roles, target: Target, typed: Typed, dropped: set[str], say: Findings
) -> FieldPlan | None:
    gone = _left_out(sheet, target, typed, dropped, say, is_role=typed.name in (roles.id, roles.key, roles.time))
    if gone:
        flag = "" if typed.kind == "empty" else f"--as {_quoted(typed.name)}=..."
        say.guess(f"column {typed.name}", "left out", gone, flag)
        return None
    why_not = _why_not(sheet, roles, typed)
    planned = _planned(sheet, roles, typed, why_not)
    if typed.name not in (roles.id, roles.time):
        missing = int(sheet.missing(typed.name).sum())
        parts = [typed.why, f"{missing:,} missing" if missing else "", _words(typed)]
        guess = f"{planned.feature} feature" if planned.feature else "in the record, no feature"
        why = "; ".join(dict.fromkeys(part for part in (why_not, *parts) if part))
        say.guess(f"column {typed.name}", guess, why, f"--as {_quoted(typed.name)}=...")
    return planned


def _left_out(sheet: Sheet, target: Target, typed: Typed, dropped: set[str], say: Findings, *, is_role: bool) -> str:
    if is_role:
        return ""
    if typed.name in dropped:
        return "as asked"
    if typed.kind == "empty":
        return typed.why
    if typed.kind in ("text", "category") and max(map(len, typed.column.texts)) > _LONG:
        return f"texts of more than {_LONG:,} characters"
    if typed.asked:
        return ""
    leak, warning = leak_of(sheet, target, typed.name)
    if warning:
        say.warnings.append(f"{typed.name} {warning}: is it known before? if not: --drop {_quoted(typed.name)}")
    return f"it {leak}: not known before" if leak else ""


def _why_not(sheet: Sheet, roles: Roles, typed: Typed) -> str:
    """Why a field is no feature; empty where it is one."""
    if typed.name in (roles.id, roles.time):
        return "it is the id" if typed.name == roles.id else "it is the event time"
    if typed.kind == "time":
        return "a time is no feature"
    if typed.name == roles.key:
        each = len(sheet.keep) / max(typed.distinct, 1)
        return "" if typed.distinct <= MAX_CATEGORIES and each >= 20 else "it is the key"  # noqa: PLR2004 - rows to learn from
    if typed.distinct <= 1:
        return "it is the same in every row"
    if not typed.asked and is_id_like(typed):
        return "it numbers things"
    return typed.why if typed.kind == "text" else ""


def _planned(sheet: Sheet, roles: Roles, typed: Typed, why_not: str) -> FieldPlan:
    name = typed.name
    as_text = name in (roles.id, roles.key) or typed.kind in ("category", "text")
    optional = name not in (roles.id, roles.key, roles.time) and (bool(why_not) or bool(sheet.missing(name).any()))
    categories: tuple[str, ...] = ()
    if typed.kind == "category" and not why_not and typed.distinct <= _SHOWN:
        categories = tuple(sorted({text for text in typed.values.tolist() if text is not None}))
    low, high = (None, None) if as_text else _bounds(typed)
    return FieldPlan(
        name=name,
        column=name,
        type="string" if as_text else _TYPES[typed.kind],
        optional=optional,
        minimum=low,
        maximum=high,
        max_length=_length(typed) if as_text else 0,
        unit=typed.unit,
        feature="" if why_not else "category" if as_text else "numeric",
        categories=categories,
        why_not=why_not,
    )


def _bounds(typed: Typed) -> tuple[float | None, float | None]:
    """What was seen, half its span wider on both sides, and not below 0 where nothing was; rounded outward."""
    if typed.kind not in ("integer", "number"):
        return None, None
    low, high = float(np.nanmin(typed.values)), float(np.nanmax(typed.values))
    if typed.kind == "integer" and (low, high) == (0.0, 1.0):
        return 0.0, 1.0
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span) - 1)
    step = max(step, 1.0) if typed.kind == "integer" else step
    wide_low, wide_high = math.floor((low - span / 2) / step) * step, math.ceil((high + span / 2) / step) * step
    wide_low = max(wide_low, 0.0) if low >= 0 else wide_low
    wide_high = min(wide_high, 0.0) if high <= 0 else wide_high
    digits = max(0, -math.floor(math.log10(step)))
    return round(wide_low, digits), round(wide_high, digits)


def _length(typed: Typed) -> int:
    longest = max((len(text) for text in typed.column.texts), default=1)
    return int(max(32, 2 ** math.ceil(math.log2(2 * longest + 8))))


def _words(typed: Typed) -> str:
    if not typed.words:
        return ""
    shown = ", ".join(f'"{word[:20]}"' for word in typed.words[:3])
    return f"{shown}{' ...' if len(typed.words) > 3 else ''} counted as missing"  # noqa: PLR2004 - a line


def _quoted(name: str) -> str:
    return name if name.replace("_", "").isalnum() else f"'{name}'"
