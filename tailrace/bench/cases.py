"""The rows of `tailrace bench scorer`: what is scored, how, and what is aimed at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from shared.core.errors import UserError
from tailrace.bench.material import FOREST, FOREST_LOOKED_UP, LINEAR, LOOKED_UP, Kind, Variant
from tailrace.bench.runner import Row

ONCE, AT_LEAST, SEEN = Variant("exactly_once", 0.0), Variant("at_least_once", 0.0), Variant("exactly_once", 1.0)
Ratio = dict[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """One pair of rows, the bare loop's and ours; `wanted` is the least ratio of records/s, 0 for none."""

    kind: Kind
    variant: Variant
    wanted: float = 0.0

    @property
    def name(self) -> str:
        """What it is called, without whose row it is."""
        return f"{self.kind.title}, {self.variant.guarantee}{', observed' if self.variant.sample else ''}"


CASES = (
    Case(LINEAR, ONCE, 0.85),
    Case(LINEAR, SEEN),
    Case(LINEAR, AT_LEAST),
    Case(FOREST, ONCE, 0.9),
    Case(FOREST, AT_LEAST),
    Case(LOOKED_UP, ONCE),
    Case(LOOKED_UP, SEEN),
    Case(LOOKED_UP, AT_LEAST),
    Case(FOREST_LOOKED_UP, ONCE),
    Case(FOREST_LOOKED_UP, AT_LEAST),
)


def chosen(words: Sequence[str]) -> Sequence[Case]:
    """The cases whose names have any of these words; all for none.

    Raises:
        UserError: no case has such a word.
    """
    for word in words:
        if not any(word in case.name for case in CASES):
            known = "; ".join(case.name for case in CASES)
            raise UserError(f"no case has {word!r} in its name", remedy=f"a part of one of: {known}")
    return [case for case in CASES if not words or any(word in case.name for word in words)]


def middle(rows: Sequence[Row], name: str) -> Row:
    """The median of each figure over several runs."""
    return Row(
        name,
        median(row.records_per_s for row in rows),
        median(row.cpu_us_per_record for row in rows),
        median(row.rss_mb for row in rows),
        round(median(row.n for row in rows)),
    )


def ratio(ours: Row, bare: Row) -> Ratio:
    """Ours by the bare loop's: records/s (more is better) and CPU (less is better)."""
    return {
        "records_per_s": round(ours.records_per_s / bare.records_per_s, 3),
        "cpu_us_per_record": round(ours.cpu_us_per_record / max(bare.cpu_us_per_record, 0.01), 3),
    }


def observing(pairs: Mapping[Case, tuple[Row, Row]]) -> dict[str, Ratio]:
    """What observing adds to the CPU us a record: to the bare loop (writing alone), to ours, and the one by the other.

    Args:
        pairs: the bare loop's row and ours, by case; kinds that were run both ways are compared.
    """
    plain = {case.kind: rows for case, rows in pairs.items() if case.variant == ONCE}
    found = dict[str, Ratio]()
    for case, (bare, ours) in pairs.items():
        if case.variant == SEEN and case.kind in plain:
            bare_off, ours_off = plain[case.kind]
            writing = bare.cpu_us_per_record - bare_off.cpu_us_per_record
            added = ours.cpu_us_per_record - ours_off.cpu_us_per_record
            by = round(added / max(writing, 0.01), 3)
            found[case.kind.title] = {"bare_us": round(writing, 2), "ours_us": round(added, 2), "ratio": by}
    return found
