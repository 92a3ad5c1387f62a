"""Tables of a simulator's own folder: what the world is made of, as data."""

import csv
from pathlib import Path

import numpy as np

from shared.simulation.world import Column


def read_columns(path: Path, *text: str) -> dict[str, Column]:
    """The columns of a CSV file by its header: floats, but for the named ones, which are text."""
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    columns = zip(head, zip(*rows, strict=True), strict=True)
    return {name: np.array(column, dtype=np.str_ if name in text else np.float64) for name, column in columns}
