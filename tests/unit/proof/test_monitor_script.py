"""The play of `tailrace verify monitor`: its books agree with the recomputation, however its two ways interleave."""

import json
import random
from collections import Counter, defaultdict

import msgspec
import pytest

from services.ingest.labels.check import LabelCheck
from shared.core.errors import Invalid
from shared.core.monitor_records import LabelEntry
from shared.core.partitioning import partition_of
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode
from tailrace.proof.material import Pool
from tailrace.proof.monitor_books import STATUSES, Books
from tailrace.proof.monitor_saying import ABORTED, Speaker
from tailrace.proof.monitor_script import Script, Step
from tailrace.proof.monitor_terms import STEP, bend
from tailrace.recompute.entries import Reader
from tailrace.recompute.fold import Fold
from tailrace.recompute.tables import accounts, entries
from tailrace.recompute.terms import terms_of, times_of
from tests.support.spec import make_tree

START = 1_700_000_000_000 // STEP * STEP
Journal = dict[int, list[bytes]]


def spec_of(task: str) -> PipelineSpec:
    """The pipeline of parcels under the terms of the proof."""
    return decode(bend(make_tree(task)), "parcels")


def script_of(spec: PipelineSpec, records: int, seed: int) -> Script:
    """A play over a pool of a few records."""
    fields = {"weight": 1.5, "carrier": "A"}
    pool = Pool([(f"depot-{i % 20}".encode(), {"depot": f"depot-{i % 20}", **fields}) for i in range(50)], [], 0, 0)
    return Script(Speaker(spec, pool, {}), records, seed, START)


def committed(step: Step) -> list[tuple[int, bytes]]:
    """The observations of a step, in the order in which they are committed."""
    return [(one.partition, one.value) for attempt in step.attempts for one in attempt.written]


def routed(spec: PipelineSpec, step: Step, refused: Counter[str]) -> list[tuple[int, bytes]]:
    """What a label router makes of the labels of a step."""
    check, found = LabelCheck(spec), list[tuple[int, bytes]]()
    for key, value in step.labels:
        try:
            label = check.label(value, key, 2 * START)
        except Invalid as error:
            refused[error.reason] += 1
            continue
        where = label.at[0] if label.at else partition_of(key, spec.partitions)
        found.append((where, msgspec.json.encode(LabelEntry(label, (0, len(found)), 0))))
    return found


def play(spec: PipelineSpec, script: Script, lag: int) -> tuple[Journal, Counter[str]]:
    """The journal where the router is as many steps behind as the feed lets it be, and what was refused."""
    journal: Journal = defaultdict(list)
    refused: Counter[str] = Counter()
    waiting: list[list[tuple[int, bytes]]] = []
    for step in script.steps():
        while len(waiting) > lag:
            for partition, value in waiting.pop(0):
                journal[partition].append(value)
        for partition, value in committed(step):
            journal[partition].append(value)
        waiting.append(routed(spec, step, refused))
    for labels in waiting:
        for partition, value in labels:
            journal[partition].append(value)
    return journal, refused


@pytest.mark.parametrize(("task", "lag"), [("binary", 0), ("multiclass", 1), ("regression", 1)])
def test_books_and_recomputation_agree(task: str, lag: int) -> None:
    """Every status, every outcome, every refusal: a model of delays alone says what the definitions say."""
    seed = random.randrange(10_000)
    print(f"seed {seed}")
    spec = spec_of(task)
    script = script_of(spec, 4_000, seed)
    journal, refused = play(spec, script, lag)
    found = Books()
    for values in journal.values():
        fold = Fold(times_of(spec), terms_of(spec), Reader(spec))
        for offset, value in enumerate(values):
            fold.take(offset, value)
        told = fold.finish()
        for sums in accounts(entries(told)).values():
            found.accounts.update(sums)
        found.outcomes.update(
            (identity, revision, status, value) for _, status, identity, revision, value, _ in told.outcomes
        )
    assert +script.books.accounts == +found.accounts
    assert script.books.outcomes == found.outcomes
    assert script.books.letters == refused
    missing = {status for status in STATUSES if not found.accounts[status]}
    assert {"held", "unsampled"} == missing


def test_the_same_seed_plays_the_same() -> None:
    """A proof is repeatable, byte for byte; another seed plays another."""
    spec = spec_of("binary")
    one, two, other = (list(script_of(spec, 300, seed).steps()) for seed in (1, 1, 2))
    assert one == two
    assert one != other


def test_aborted_attempts_can_be_told() -> None:
    """About three attempts in ten are aborted; all that they write has a flag, and nothing that is committed has it."""
    spec = spec_of("binary")
    script = script_of(spec, 3_000, 5)
    attempts = [one for step in script.steps() if step.begins < script.half for one in step.attempts]
    aborts = sum(one.aborts for one in attempts)
    assert 0.3 < aborts / (aborts + len(attempts)) < 0.5
    for one in attempts:
        assert bool(one.aborts) == bool(one.ghosts)
        assert all(ABORTED in json.loads(w.aborted)["prediction"]["flags"] for w in [*one.written, *one.ghosts])
        assert not any(ABORTED.encode() in w.value for w in one.written)
