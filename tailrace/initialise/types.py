"""What kind of thing each column holds, and how that is known."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tailrace.initialise.moments import Order, parse_moments
from tailrace.initialise.numbers import parse_numbers
from tailrace.initialise.rows import Column

Kind = Literal["boolean", "integer", "number", "time", "category", "text", "empty"]
Asked = Literal["number", "category", "boolean", "time", "text", "drop"]
ASKED: tuple[str, ...] = get_args(Asked)
MAX_CATEGORIES = 255  # of scikit-learn's histogram boosting
WORDS = 0.05  # share of words among numbers, or of others among dates, that count as missing
_MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "<na>", "null", "-", "--", ".", "?", "#div/0!", "#value!"))
# Words that may well be a category, but never a number or a date.
_NO_VALUE = frozenset(("none", "nil", "missing", "unknown", "unk", "tbd", "inf", "-inf", "#ref!", "nat"))
_TRUE, _FALSE = frozenset(("true", "yes", "y", "t")), frozenset(("false", "no", "n", "f"))
_SPELLINGS = 20  # of yes and no, in all cases
_TIMELY = re.compile(r"(?:^|[_\W])(?:date|day|time|timestamp|ts|when|datetime|epoch)|(?:_at|time|date|Date|Time)$")
_UNIT = re.compile(r"[(\[]\s*([^()\[\]]{1,16}?)\s*[)\]]\s*$")


@dataclass(frozen=True, slots=True)
class Typed:
    """A column of n cells with its kind.

    `values` is (n,): numbers (booleans as 0 and 1) as float64 with NaN for missing, times as int64 ms, texts as objects
    (None for missing). `missing` is (n,). `why` is one clause for people; `words` are texts that count as missing.
    """

    column: Column
    kind: Kind
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    why: str
    unit: str = ""
    words: tuple[str, ...] = ()
    distinct: int = 0
    guessed: bool = False
    asked: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The column's name in the record."""
        return self.column.name


@dataclass(frozen=True, slots=True)
class _Cells:
    """What every reading needs: distinct texts that are there, how often, and which of all they are."""

    column: Column
    texts: list[str]
    counts: NDArray[np.int64]
    place: NDArray[np.intp]

    @property
    def total(self) -> int:
        return int(self.counts.sum())


def type_of(column: Column, *, comma_first: bool = False, order: Order = "", asked: str = "") -> Typed:
    """The kind of a column.

    Args:
        column: its cells.
        comma_first: see `parse_numbers`.
        order: see `parse_moments`.
        asked: the kind that the user says it is (`Asked`); empty: found out.
    """
    counts = column.counts()
    there = np.array([text.lower() not in _MISSING for text in column.texts], dtype=np.bool_) & (counts > 0)
    place = np.flatnonzero(there)
    cells = _Cells(column, [column.texts[i] for i in place.tolist()], counts[place], place)
    if not cells.texts:
        return _texts(cells, "empty", "no row has a value", asked)
    if asked in ("category", "text", "drop"):
        return _texts(cells, "category" if asked == "category" else "text", "as asked", asked)
    return (
        _boolean(cells, asked)
        or _number(cells, asked, comma_first=comma_first)
        or _time(cells, asked, order)
        or _words(cells, asked)
    )


def unit_of(name: str) -> str:
    """The unit in a column's name: mm of `Culmen Length (mm)`."""
    match = _UNIT.search(name)
    return match[1] if match else ""


def as_texts(typed: Typed) -> NDArray[Any]:
    """The column's cells as they stand in the file, None where one is missing."""
    texts = np.array(typed.column.texts, dtype=object)
    values = typed.column.of_texts(texts)
    values[typed.column.of_texts(np.array([t.lower() in _MISSING for t in typed.column.texts], dtype=np.bool_))] = None
    return values


def _boolean(cells: _Cells, asked: str) -> Typed | None:
    if len(cells.texts) > _SPELLINGS:
        return None
    words = [text.lower() for text in cells.texts]
    known = {w: w in _TRUE or w == "1" for w in words if w in _TRUE | _FALSE | {"0", "1"}}
    both = len(set(known.values())) == 2  # noqa: PLR2004 - true and false
    if len(known) < len(set(words)) or (asked != "boolean" and (asked or not both or set(words) == {"0", "1"})):
        return None
    per_text = np.array([float(known[word]) for word in words])
    shown = ", ".join(sorted(set(cells.texts))[:4])
    return _numbers(cells, "boolean", per_text, f"{shown}: sent as true and false", asked=asked)


def _number(cells: _Cells, asked: str, *, comma_first: bool) -> Typed | None:
    if asked not in ("", "number") or (not asked and any(map(_is_code, cells.texts))):
        return None  # 00123 is a code: as a number it would lose its zeros
    read = parse_numbers(cells.texts, cells.counts, comma_first=comma_first)
    good = ~np.isnan(read.values)
    if not asked and _timely(cells) and parse_moments(cells.texts, cells.counts, numbers=True).ok.all():
        return None
    if not _enough(cells, good, asked):
        return None
    whole = bool(read.whole[good].all())
    if whole and not asked and (np.abs(read.values[good]) >= 2**53).any():
        return None  # 7300000000000000001 is a name: as a number it would be that of its neighbour
    unit = read.unit or unit_of(cells.column.name)
    # What is measured in a unit may come with decimals tomorrow.
    kind: Kind = "integer" if whole and not unit else "number"
    why = ", ".join(part for part in ("whole numbers" if whole else "numbers", read.how) if part)
    return _numbers(cells, kind, read.values, why, unit=unit, asked=asked)


def _is_code(text: str) -> bool:
    return text[0] == "0" and len(text) > 1 and text.isdecimal()


def _time(cells: _Cells, asked: str, order: Order) -> Typed | None:
    if asked not in ("", "time"):
        return None
    read = parse_moments(cells.texts, cells.counts, order=order, numbers=bool(asked) or _timely(cells))
    if not _enough(cells, read.ok, asked):
        return None
    ms = np.zeros(len(cells.column.texts), np.int64)
    ms[cells.place] = read.ms
    gone = np.ones(len(cells.column.texts), np.bool_)
    gone[cells.place] = ~read.ok
    why = ", ".join(part for part in ("dates and times", read.how) if part)
    return Typed(
        cells.column, "time", cells.column.of_texts(ms), cells.column.of_texts(gone), why,
        words=_others(cells, read.ok), distinct=len(np.unique(read.ms[read.ok])), guessed=read.guessed, asked=asked,
    )  # fmt: skip


def _words(cells: _Cells, asked: str) -> Typed:
    distinct, total = len(cells.texts), cells.total
    lengths = np.array([len(text.split()) for text in cells.texts])
    mixed = 0.0 if asked else float(cells.counts[_numeric(cells)].sum() / total)
    note = f"numbers ({mixed:.0%}) mixed with words: taken as words" if mixed > 0.2 else ""  # noqa: PLR2004 - a fifth
    sentences = (lengths * cells.counts).sum() / total >= 4  # noqa: PLR2004 - words in a sentence
    if sentences and distinct > max(8, total / 50):  # fewer are answers to choose from
        kind, why = "text", f"free text, {distinct:,} different ones"
    elif distinct > MAX_CATEGORIES:
        kind, why = "text", f"{distinct:,} different texts, a model takes {MAX_CATEGORIES}"
    elif distinct > total / 2 and distinct > 10:  # noqa: PLR2004 - ten rows of ten are no names yet
        kind, why = "text", f"{distinct:,} different texts in {total:,} rows: names, no categories"
    else:
        kind, why = "category", f"{distinct:,} different texts" if distinct > 1 else "one text"
    return _texts(cells, kind, ", ".join(part for part in (why, note) if part), asked)  # type: ignore[arg-type] # a Kind


def _numeric(cells: _Cells) -> NDArray[np.bool_]:
    return ~np.isnan(parse_numbers(cells.texts, cells.counts, comma_first=False).values)


def _timely(cells: _Cells) -> bool:
    return _TIMELY.search(cells.column.name) is not None


def _enough(cells: _Cells, good: NDArray[np.bool_], asked: str) -> bool:
    """Whether so many are of the kind that the rest counts as missing."""
    others = sum(int(cells.counts[i]) for i in np.flatnonzero(~good) if cells.texts[i].lower() not in _NO_VALUE)
    return bool(good.any()) and (others <= WORDS * cells.total or bool(asked))


def _others(cells: _Cells, good: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(cells.texts[i] for i in np.flatnonzero(~good))


def _numbers(
    cells: _Cells, kind: Kind, read: NDArray[np.float64], why: str, *, unit: str = "", asked: str = ""
) -> Typed:
    per_text = np.full(len(cells.column.texts), np.nan)
    per_text[cells.place] = read
    values = cells.column.of_texts(per_text)
    words = _others(cells, ~np.isnan(read))
    distinct = len(np.unique(read[~np.isnan(read)]))
    return Typed(
        cells.column, kind, values, np.isnan(values), why, unit=unit, words=words, distinct=distinct, asked=asked
    )


def _texts(cells: _Cells, kind: Kind, why: str, asked: str) -> Typed:
    per_text = np.full(len(cells.column.texts), None, dtype=object)
    per_text[cells.place] = cells.texts
    values = cells.column.of_texts(per_text)
    missing = np.array([value is None for value in values.tolist()], dtype=np.bool_)
    unit = unit_of(cells.column.name)
    return Typed(cells.column, kind, values, missing, why, unit=unit, distinct=len(cells.texts), asked=asked)
