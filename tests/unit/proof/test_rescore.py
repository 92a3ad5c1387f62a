"""Scores are made again from the bundle on disk: equal ones pass, a changed one is told."""

from pathlib import Path
from zlib import crc32

import msgspec
import pytest

from shared.core.bundle import GOLDEN
from shared.core.bundle_checks import parse_golden
from shared.core.records import Prediction
from tailrace.proof.evidence import Evidence
from tailrace.proof.rescore import right
from tailrace.proof.tape import Row
from tests.support.bundles import make_kit

N = 20


def evidence(folder: Path, off: float) -> tuple[Evidence, list[Row]]:
    """A real bundle's golden records, observed with its own scores, the first of them changed by `off`."""
    kit = make_kit(folder)
    golden, manifest = parse_golden((kit.folder / GOLDEN).read_bytes()), kit.manifest()
    positive = manifest.classes.index(kit.spec.labels.positive)
    records, observed = [], []
    for i in range(N):
        at = (0, i)
        body = bytes(golden.records[i])
        records.append(Row("records", 0, i, 1, at, "", crc32(body), body))
        score = golden.scores[i][positive] + (off if i == 0 else 0.0)
        made = Prediction(1, f"p{i}", "north", at, 1, score, "late", "local", kit.ref.digest[:16], 1)
        seen = msgspec.json.encode({"prediction": made, "lookups": golden.lookups[i]})
        observed.append(Row("journal", 0, i, 1, at, "0.1.0.1", crc32(seen), seen))
    found = Evidence(kit.spec, "exactly_once", records, [], [], [], {}, [], {1: kit.ref})
    return found, observed


@pytest.mark.parametrize(("off", "expected"), [(0.0, 0), (1e-6, 1)])
def test_a_score_that_is_not_the_bundles_is_told(tmp_path: Path, off: float, expected: int) -> None:
    """One in a million is too much; golden scores are scikit-learn's own, in float64."""
    finding, n = right(*evidence(tmp_path, off))
    assert (n, finding.count, len(finding.examples)) == (N, expected, expected)
