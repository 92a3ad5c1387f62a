"""100,000 mutated records through the real codec and step, without a broker: nothing raises, nothing hangs, each ends.

The verdict on each is held against an oracle that was written a second time. The same records go through a real
broker and a real worker by `tailrace verify bad-input`.
"""

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from shared.adapters.pipeline_yaml import load_pipeline
from shared.core import reasons
from shared.core.deadletter import MAX_BODY, dead_letters
from shared.core.pipeline import FieldSpec, PipelineSpec
from shared.core.ports import Result
from tailrace.proof.mutants import UNTOUCHED, Mutant, Mutants, Source
from tests.support.linear import Bench
from tests.support.oracle import scored

PIPELINES = ("flights", "obesity")
N = int(os.environ.get("TAILRACE_TEST_MUTANTS", "100000")) // len(PIPELINES)
BATCH = 250
LOGGED = 1_750_000_000_000
HANGS = 20.0  # s that a batch may take before it counts as hung: a thousand times what it takes


@contextmanager
def watched(what: str) -> Iterator[None]:
    """End what hangs, and name it."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"{what} hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def good(spec: PipelineSpec, dice: random.Random) -> Source:
    """A record of the pipeline that must be scored."""
    fields = {name: value(field, dice) for name, field in spec.record.fields.items()}
    fields[spec.record.key] = f"e{dice.randrange(50)}"
    return fields[spec.record.key].encode(), fields


def value(field: FieldSpec, dice: random.Random) -> Any:
    """A value within the field's bounds."""
    low, high = field.minimum or 0.0, field.maximum or 100.0
    if field.type == "timestamp":
        return LOGGED - dice.randrange(10**9) if dice.random() < 0.5 else "2013-01-15T12:00:00-05:00"
    if field.type == "string":
        return "".join(
            dice.choices("abcXYZ \u00e9\u4e2d\U0001f600-", k=dice.randrange(1, min(field.max_length, 9) + 1))
        )
    if field.type == "boolean":
        return dice.random() < 0.5
    if field.nullable and dice.random() < 0.1:
        return None
    return dice.randint(int(low), int(high)) if field.type == "integer" else round(dice.uniform(low, high), 3)


def judge(bench: Bench, batch: Sequence[Mutant]) -> tuple[Result, list[str]]:
    """Score a batch: the outcome of each, empty for a prediction, else the reason of its letter."""
    result, messages = bench.score(batch, LOGGED)
    outcomes: list[list[str]] = [[] for _ in messages]
    for made in bench.predictions(result):
        outcomes[json.loads(made, parse_constant=float)["at"][1]].append("")
    for reject in result.rejects:
        outcomes[reject.message.offset()].append(reject.reason)
    for i, said in enumerate(outcomes):
        assert len(said) == 1, (said, batch[i])
    return result, [said[0] for said in outcomes]


@pytest.mark.parametrize("name", PIPELINES)
def test_every_mutant_ends_as_the_oracle_says(name: str) -> None:
    """One prediction or one letter with a known reason each, as the oracle judges; none raises, none hangs (B1-B32)."""
    seed = int(os.environ.get("TAILRACE_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"seed {seed}")
    spec = load_pipeline(name).spec
    dice = random.Random(seed)
    bench, mutants = Bench(spec), Mutants(spec, [good(spec, dice) for _ in range(500)], seed).take(N)
    seen: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for start in range(0, N, BATCH):
        batch = [mutant for mutant, _ in zip(mutants, range(min(BATCH, N - start)), strict=False)]
        with watched(f"seed {seed}, a mutant from {start}"):
            result, outcomes = judge(bench, batch)
            letters = dead_letters("dlq", "records", result.rejects)
        for mutant, said in zip(batch, outcomes, strict=True):
            told = (seed, said, mutant.kinds, mutant.key, mutant.value, mutant.headers)
            expected = said != reasons.FORGED_CONTROL and scored(spec, mutant.key, mutant.value, LOGGED)
            assert (said == "") == expected, told
            assert said == "" or said in reasons.ALL - {reasons.POISON, reasons.OTHER}, told
        for text in (*bench.predictions(result), *bench.observations(result)):
            json.dumps(json.loads(text), allow_nan=False, ensure_ascii=False).encode()  # whoever reads it can write it
        assert all(len(body or b"") <= MAX_BODY for body in letters.values)
        seen.update(outcomes)
        kinds.update(kind for mutant in batch for kind in mutant.kinds)
    print(f"{name}: {N:,} mutants, {seen.pop(''):,} scored, letters {dict(seen.most_common())}")
    print(f"mutations {dict(kinds.most_common())}")
    assert seen.total() < N
    assert set(seen) >= {reasons.NOT_JSON, reasons.DUPLICATE_KEY, reasons.KEY_MISMATCH, reasons.FORGED_CONTROL}


def test_a_seed_gives_the_same_mutants() -> None:
    """What was found once can be shown again; another seed gives others; the untouched ones are good records."""
    spec = load_pipeline("flights").spec
    sources = [good(spec, random.Random(1))]
    first, again, other = (list(Mutants(spec, sources, seed).take(300)) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    untouched = [m for m in first if m.kinds == (UNTOUCHED,)]
    assert all(scored(spec, m.key, m.value, LOGGED) for m in untouched)
    assert len(untouched) > 10
