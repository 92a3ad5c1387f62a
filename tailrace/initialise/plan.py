"""What `tailrace init` is asked, what it finds, and what it makes of it: plain types between its steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shared.core.errors import UserError
from shared.core.mistakes import near
from tailrace.initialise.moments import Order
from tailrace.initialise.rows import Rejected, Table
from tailrace.initialise.source import Source
from tailrace.initialise.types import Typed

Task = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The command's arguments; an empty one is found out. `kinds` says of columns what they are."""

    name: str
    path: Path
    label: str = ""
    no_label: bool = False
    task: str = ""
    key: str = ""
    id: str = ""
    time: str = ""
    delay: str = ""
    positive: str = ""
    drop: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    dates: Order = ""
    delimiter: str = ""


@dataclass(frozen=True, slots=True)
class Guess:
    """One thing that was found out: what, as which, why, and the flag that says otherwise."""

    what: str
    guess: str
    why: str
    flag: str = ""


@dataclass(slots=True)
class Findings:
    """What is told to the user on the way: guesses, what is lost, what looks odd, and rows that are left out."""

    guesses: list[Guess] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def guess(self, what: str, guess: str, why: str, flag: str = "") -> None:
        """Note a guess."""
        self.guesses.append(Guess(what, guess, why, flag))


@dataclass(frozen=True, slots=True)
class Sheet:
    """The CSV, typed; `keep` are the places of the rows that are taken, in the order of the file."""

    source: Source
    table: Table
    columns: dict[str, Typed]
    keep: NDArray[np.intp]

    def values(self, name: str) -> NDArray[Any]:
        """A column's values in the rows that are taken."""
        return self.columns[name].values[self.keep]

    def missing(self, name: str) -> NDArray[np.bool_]:
        """Where a column has none."""
        return self.columns[name].missing[self.keep]

    def lines(self) -> NDArray[np.int64]:
        """The line of the file (from 1) on which each row begins."""
        return self.table.starts[self.keep] + 1


@dataclass(frozen=True, slots=True)
class Roles:
    """Columns by role; an empty name: there is none, and what is needed is made."""

    label: str
    id: str
    key: str
    time: str
    id_field: str
    time_field: str

    @property
    def key_field(self) -> str:
        """The record's key: the id where no column is one."""
        return self.key or self.id_field


@dataclass(frozen=True, slots=True)
class Target:
    """What is predicted: `y[i]` is the label of row i (text of a class, or a number), None where it has none."""

    task: Task
    y: NDArray[Any]
    classes: tuple[str, ...] = ()
    positive: str = ""
    log: bool = False
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field of the record, and the feature that is made of it (`feature` empty: none, `why_not` says why)."""

    name: str
    type: str
    optional: bool
    column: str = ""
    minimum: float | None = None
    maximum: float | None = None
    max_length: int = 0
    unit: str = ""
    description: str = ""
    feature: Literal["", "numeric", "category"] = ""
    categories: tuple[str, ...] = ()
    why_not: str = ""


def column_named(asked: str, known: Mapping[str, Any], flag: str) -> str:
    """The column that a flag names, whatever its case.

    Raises:
        UserError: there is none.
    """
    if asked in known:
        return asked
    close = [name for name in known if name.lower() == asked.strip().lower()]
    if len(close) == 1:
        return close[0]
    raise UserError(f"{flag} {asked}: the file has no such column", remedy=near(asked, known))
