"""The bench beside peers on a real broker, with stand-ins for them that need nothing to be installed."""

import sys
from pathlib import Path

import pytest

from tailrace.bench import peer_env, peers
from tailrace.bench.answers import Outcome
from tailrace.bench.peer_env import LOCK_NAME, PROGRAM_NAME, Peer
from tailrace.bench.peer_result import table

pytestmark = pytest.mark.system
RECORDS = 10_000
TWICE = """
from confluent_kafka import Consumer, Producer

from benchmarks.peers.common import CONSUMER, PRODUCER, Scorer, read_job

job = read_job()
scorer, producer = Scorer(job), Producer({"bootstrap.servers": job.servers, **PRODUCER})
own = {"bootstrap.servers": job.servers, "group.id": job.group, "auto.offset.reset": "earliest"}
consumer = Consumer({**own, **CONSUMER})
consumer.subscribe([job.source])
doubled = False
while True:
    batch = consumer.consume(500, 0.1)
    if not batch:
        continue
    for key, value in scorer.many([(m.partition(), m.offset()) for m in batch], [m.value() for m in batch]):
        for _ in range(1 if doubled else 2):
            producer.produce(job.target, value, key)
        doubled = True
    producer.flush()
"""


def _peer(home: Path, name: str, program: str) -> Peer:
    folder = home / name
    folder.mkdir()
    (folder / PROGRAM_NAME).write_text(program, encoding="utf-8")
    (folder / LOCK_NAME).write_text("loop==1.0 \\\nclient==2.0 \\\n", encoding="utf-8")
    return Peer(name, name.title(), "loop", "client", "none", 0.5, 1e-9)


def test_a_peer_stands_beside_ours_and_one_that_fails_is_said_to_have_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows in order, every answer held against the bare loop's, half the records for the slow one, last words kept."""
    made = (_peer(tmp_path, "twice", TWICE), _peer(tmp_path, "lame", "raise SystemExit('it will not start here')"))
    monkeypatch.setattr(peer_env, "PEERS_FOLDER", tmp_path)
    monkeypatch.setattr(peers, "PEERS", made)
    monkeypatch.setattr(peers, "environment", lambda _peer, _cache: Path(sys.executable))
    (tmp_path / "home").mkdir()
    result = peers.measure(tmp_path / "home", RECORDS)
    once = Outcome(right=RECORDS, wrong=0, missing=0, duplicates=0, transactions=True)
    doubled = Outcome(right=RECORDS // 2, wrong=0, missing=0, duplicates=1, transactions=False)
    assert [(row.name, row.outcome) for row in result.rows] == [
        ("bare loop", once), ("tailrace", once), ("Twice", doubled), ("Twice, tuned", doubled),
    ]  # fmt: skip
    assert all(row.records_per_s > 0 and row.cpu_us_per_record > 0 and row.rss_mb > 0 for row in result.rows)
    assert all(0 < row.n < RECORDS for row in result.rows)
    assert (result.rows[2].version, result.rows[2].client) == ("1.0", "client 2.0")
    assert (list(result.ratios), result.ratios["Twice"].reached) == (["Twice", "Twice, tuned"], True)
    assert (result.ok, list(result.not_run)) == (False, ["Lame", "Lame, tuned"])
    assert "it will not start here" in result.not_run["Lame"]
    assert "Lame: not run: lame ended (exit 1): it will not start here" in table(result)
