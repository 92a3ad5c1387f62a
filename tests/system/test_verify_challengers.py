"""`tailrace verify challengers` at a reduced size: a good version comes into force, two bad ones are taken back."""

import csv
import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytestmark = pytest.mark.system
COMMAND = "from tailrace.entry import main; main()"
START, MINUTE, LEARNT, RECORDS = 1_700_000_000_000, 60_000, 3_000, 25_000
FEATURES = ("weight", "volume", "stops")


def write_pipeline(home: Path) -> Path:
    """A crate a minute for seventeen days, late where it is heavy, with noise; no look-ups, a linear model."""
    home.mkdir()
    dice = random.Random(7)
    with (home / "records.csv").open("w", newline="") as file, (home / "labels.jsonl").open("w") as labels:
        writer = csv.writer(file)
        writer.writerow(["id", "depot", "at", *FEATURES])
        for i in range(RECORDS):
            values = [round(dice.gauss(0, 1), 3) for _ in FEATURES]
            at = START + i * MINUTE
            writer.writerow([f"c{i}", f"depot-{i % 40}", at, *values])
            late = "late" if values[0] + dice.gauss(0, 1) > 0.5 else "on_time"
            labels.write(json.dumps({"id": f"c{i}", "value": late, "time": at + MINUTE}) + "\n")
    fields = {"id": {"type": "string"}, "depot": {"type": "string"}, "at": {"type": "timestamp"}}
    until = datetime.fromtimestamp((START + LEARNT * MINUTE) / 1000, UTC).isoformat()
    tree = {
        "schema": 1,
        "name": "crates",
        "task": "binary",
        "record": {"id": "id", "key": "depot", "event_time": "at", "fields": {
            **fields, **{name: {"type": "number"} for name in FEATURES},
        }},
        "features": [{"name": name} for name in FEATURES],
        "labels": {"horizon": "1h", "classes": ["on_time", "late"], "positive": "late"},
        "model": {"estimator": "sklearn.linear_model.LogisticRegression"},
        "history": {"records": "records.csv", "labels": "labels.jsonl", "train_until": until},
        "partitions": 4,
    }  # fmt: skip
    (home / "pipeline.yaml").write_text(json.dumps(tree))
    return home


def test_the_controller_takes_bad_versions_back(tmp_path: Path) -> None:
    """One that fails after a while and one that says always the same; who was good stays, and nothing is lost."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    kept |= {name: os.environ[name] for name in ("TAILRACE_CACHE",) if name in os.environ}
    asked = ("--only", "constant,nan-after-a-while", "--rate", "400", "--workers", "1", "--json")
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "verify", "challengers", str(write_pipeline(tmp_path / "crates")), *asked],
        capture_output=True, text=True, env=kept | {"TMPDIR": str(tmp_path)}, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["ok"], said["lost"], said["doubled"], said["left"]) == (True, 0, 0, [])
    assert (said["good"]["end"], said["in_force"]) == ("champion", "2")
    assert said["good"]["steps"] == ["shadow", "canary 30%", "champion"]
    failing, constant = said["rows"]
    assert (failing["signal"], failing["step"]) == ("rejects", "shadow")
    assert (constant["caught"], constant["step"]) == (True, "shadow")
    assert constant["signal"] in {"answers", "quality"}, "whichever is sure first"
    assert [row["scored"] for row in said["rows"]] == [0, 0], "who is only tried scores nothing that anybody sees"
    assert list(tmp_path.glob("tailrace-*")) == []
