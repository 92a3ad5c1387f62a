"""Random messy tables: each becomes a folder whose whole history the platform takes, or one sentence."""

import csv
import io
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.adapters.pipeline_yaml import load_pipeline
from shared.adapters.tables import read_rows
from shared.core.codec import RecordCodec
from shared.core.errors import UserError
from shared.core.mistakes import Mistakes
from tests.support.tables import made

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("id", "target", "when", "customer", "x", "y (mm)", "a,b", 'q"u', "no", "null", "key", "event_time", "class")
TEXTS = ("a b", "ü", "x:y", "#", "{", "null", "off", "'", '"q"', "1.0", "no", "")


def cells(dice: random.Random, n: int) -> list[str]:
    """A column of some kind."""
    kinds: tuple[Callable[[int], str], ...] = (
        str,
        lambda _: repr(dice.gauss(0, 1) * 10 ** dice.randint(-9, 9)),
        lambda _: str(2**62 + dice.randint(0, 9)),
        lambda _: dice.choice(("yes", "no", "Y", "NA")),
        lambda _: dice.choice(TEXTS),
        lambda _: "",
        lambda _: f"2024-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}",
        lambda _: f"{dice.randint(1, 28)}/{dice.randint(1, 12)}/{dice.randint(1970, 2020)} {dice.randint(0, 23)}:30",
        lambda _: dice.choice(("1,234.5", "7", "12 %", "-")),
        lambda _: f"K{dice.randint(0, n // 3)}",
        lambda _: "".join(dice.choices("abc déf\n,", k=dice.randint(0, 60))),
        lambda _: dice.choice(("low", "mid", "high")),
        lambda _: dice.choice("01"),
    )
    kind = dice.choice(kinds)
    return [kind(i) for i in range(n)]


@pytest.mark.parametrize("seed", range(60))
def test_any_table_is_a_pipeline_or_a_sentence(tmp_path: Path, seed: int) -> None:
    """No record of the history is refused, ids are unique, and nothing else than a user's error is raised."""
    print("seed", seed)
    dice = random.Random(seed)
    n, columns = dice.choice((60, 200)), dice.randint(2, 8)
    file = io.StringIO()
    writer = csv.writer(file, delimiter=dice.choice(",;\t|"))
    writer.writerow(dice.choice(NAMES) for _ in range(columns))
    writer.writerows(zip(*(cells(dice, n) for _ in range(columns)), strict=True))
    try:
        report, folder = made(tmp_path, file.getvalue(), no_label=dice.random() < 0.3)
    except Mistakes:
        raise
    except UserError:
        return
    spec = load_pipeline(folder).spec
    rows = [json.dumps(row).encode() for row in read_rows(folder / "records.parquet")]
    decoded = RecordCodec(spec).decode(rows)
    assert decoded.refused == []
    assert len(set(decoded.ids)) == len(rows) == report.records
