"""`tailrace verify bad-input` at a reduced size: mutated records through a real broker and the product's own worker."""

from pathlib import Path

import pytest

from shared.core import reasons
from tests.system.test_verify import verify, write_pipeline

pytestmark = pytest.mark.system
RECORDS = 5_000


def test_every_mutated_record_ends_and_the_worker_does_not(tmp_path: Path) -> None:
    """In = predictions + dead letters, each with a known reason; one process from first to last (B47)."""
    ended = verify(write_pipeline(tmp_path), tmp_path / "run", "bad-input", "--records", str(RECORDS), "--seed", "5")
    said = ended.said
    print({name: said[name] for name in ("predictions", "dead_letters", "unaccounted", "restarts", "seconds")})
    assert (ended.code, said["ok"], said["n"], said["seed"]) == (0, True, RECORDS, 5), ended
    assert set(said["violations"].values()) == {0}
    assert said["predictions"] + sum(said["dead_letters"].values()) == RECORDS
    assert set(said["dead_letters"]) <= reasons.ALL - {reasons.POISON}
    assert (said["unaccounted"], said["restarts"], said["same_process"]) == (0, 0, True)
    assert min(said["predictions"], said["dead_letters"]["not_json"], said["dead_letters"]["forged_control"]) > 50
    assert said["bound95"] == pytest.approx(3 / RECORDS)
