"""One file with everything that people do to a CSV, as it came out of a German office program."""

import random
from pathlib import Path

import pytest

from shared.adapters.pipeline_yaml import load_pipeline
from shared.adapters.tables import read_rows
from tests.support.tables import made

HEADER = "Order No;Kunde;Bestellt am;Größe (mm);Rabatt;Prio;Zahlung;Bemerkung;Leer;Price"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def german(number: float) -> str:
    """1234.5 as 1.234,50."""
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


def rows(n: int) -> list[str]:
    """Orders: three formats of dates, decimal commas, percent, euros, gaps, free text."""
    seed = 3
    print("seed", seed)
    dice = random.Random(seed)
    lines = []
    for i in range(n):
        day, month, size = dice.randint(1, 28), dice.randint(1, 12), dice.uniform(10, 900)
        when = (
            f"{day:02}.{month:02}.2023 09:{dice.randint(0, 59):02}",
            f"2023-{month:02}-{day:02}T10:00:00+01:00",
            f"{day} {MONTHS[month - 1]} 2023",
        )[i % 3]
        cells = (10_000 + i, f"K{dice.randint(1, 40):03}", when, german(size), f"{dice.randint(0, 30)} %")
        choices = (
            dice.choice(("ja", "nein", "")),
            dice.choice(("bar", "Karte", "N/A")),
            f'"wie immer; {i} Stück für uns"',
        )
        lines.append(";".join(map(str, (*cells, *choices, "", german(2 ** (size / 90)) + " €"))))
    return lines


def test_everything_at_once(tmp_path: Path) -> None:
    """Types, roles, units and target are found; three rows are put aside, each with its reason; the rest is typed."""
    lines = rows(300)
    lines.insert(50, lines[49])
    lines.insert(100, "kaputt;zeile")
    lines.insert(200, "10500;K001;irgendwann;5,0;3 %;ja;bar;x;;12,00 €")

    report, folder = made(tmp_path, "\r\n".join([HEADER, *lines]).encode("cp1252"))

    spec = load_pipeline(folder).spec
    assert (spec.record.id, spec.record.key, spec.record.event_time) == ("Order No", "Kunde", "Bestellt am")
    assert (spec.task, spec.model.target, spec.model.interval is not None) == ("regression", "log1p", True)
    assert {name: (field.type, field.unit) for name, field in spec.record.fields.items()} == {
        "Order No": ("string", ""), "Kunde": ("string", ""), "Bestellt am": ("timestamp", ""),
        "Größe (mm)": ("number", "mm"), "Rabatt": ("number", "%"), "Prio": ("string", ""), "Zahlung": ("string", ""),
        "Bemerkung": ("string", ""),
    }  # fmt: skip
    assert [feature.name for feature in spec.features] == ["Größe (mm)", "Rabatt", "Prio", "Zahlung"]
    assert [(row["line"], row["reason"]) for row in read_rows(folder / "rejected.csv")] == [
        ("52", "an exact copy of line 51"),
        ("102", "too few cells: 2 under 10 column names"),
        ("202", 'no time in Bestellt am: "irgendwann"'),
    ]
    assert (report.records, report.rows) == (300, 303)
    label = next(row for row in read_rows(folder / "labels.parquet") if row["id"] == "10000")
    size = next(row for row in read_rows(folder / "records.parquet") if row["Order No"] == "10000")["Größe (mm)"]
    assert label["value"] == pytest.approx(2 ** (size / 90), abs=0.1)
    assert any("read as Windows-1252" in warning for warning in report.warnings)
