"""Thousands of simulated schedules of the loop: none may break a promise (I1 to I8, and all is done in the end).

A schedule that does prints its seed and its trace. `TAILRACE_SIMULATION_SEED=<seed>` runs that one only, and so does
`tailrace verify simulation --schedules 1 --seed <seed>`.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256

import pytest

from shared.testing.schedules.mix import ACTIONS
from shared.testing.schedules.schedule import LENGTH, Schedule
from shared.testing.schedules.strands import Strands
from tailrace.proof.simulation import simulate, words

BLOCKS, EACH = 8, 500
DIGEST = "from tests.unit.runtime.simulation.test_schedules import digest; print(digest(0, 100))"
# Every step of the loop at which a process may die: its calls to the log, its own logic, and the callbacks in a poll.
STEPS = (
    *(
        "poll",
        "assigned",
        "revoked",
        "lost",
        "step",
        "ahead",
        "begin",
        "produce",
        "flush",
        "send_offsets",
        "commit",
        "committed",
    ),
    *("abort", "renew", "rewind", "pause", "close"),
)


@pytest.fixture
def strands() -> Iterator[Strands]:
    """Where workers run."""
    with Strands() as pool:
        yield pool


def digest(first: int, n: int) -> str:
    """A fingerprint of the traces of these seeds."""
    with Strands() as pool:
        lines = (line for seed in range(first, first + n) for line in Schedule(seed, pool).run().trace.lines())
        return sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_schedule_breaks_a_promise(block: int) -> None:
    """I1 to I8 at every commit and at the end; and once there is peace, everything is done by those who live."""
    given = os.environ.get("TAILRACE_SIMULATION_SEED")
    verdict = simulate(1, int(given)) if given else simulate(EACH, block * EACH)

    assert verdict.ok, words(verdict)


def test_a_seed_gives_the_same_trace_in_every_process() -> None:
    """A failure can be repeated: not even the order of hashes has a say."""
    here = digest(0, 100)
    there = [
        subprocess.run(
            (sys.executable, "-c", DIGEST),
            env=os.environ | {"PYTHONHASHSEED": salt}, capture_output=True, text=True, timeout=60, check=True,
        ).stdout.strip()
        for salt in ("1", "2")
    ]  # fmt: skip

    assert [here, here] == there


def test_a_shorter_schedule_begins_like_the_whole(strands: Strands) -> None:
    """Cut to fewer steps, a schedule has the same trouble up to there, so the shortest that fails can be looked for."""
    for seed in range(20):
        whole, cut = (Schedule(seed, strands, length=n).run().trace.lines() for n in (LENGTH, LENGTH // 2))
        peace = next(i for i, line in enumerate(cut) if "peace  begins" in line)

        assert whole[:peace] == cut[:peace], f"seed {seed}"


def test_schedules_crash_at_every_step_and_have_every_kind_of_trouble(strands: Strands) -> None:
    """What never happens proves nothing: there is death at each step, and each kind of trouble and answer."""
    died: Counter[str] = Counter()
    trouble: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for seed in range(600):
        for line in Schedule(seed, strands).run().trace.lines():
            _, who, what, *rest = line.split(maxsplit=3)
            trouble[who] += 1
            if found := re.search(r"is dead \(at (\w+)\)", line):
                died[found[1]] += 1
            elif rest and rest[0].startswith("answered"):
                answers[f"{what}: {rest[0].removeprefix('answered ')}"] += 1

    assert set(STEPS) == set(died)
    assert {name for name, _ in ACTIONS} - {"witness"} <= set(trouble)
    assert {
        *(
            "begin: Fatal (before)",
            "begin: Retriable (before)",
            "produce: Abortable (after)",
            "flush: Abortable (before)",
        ),
        *("flush: Fatal (after)", "send_offsets: Abortable (after)", "send_offsets: Retriable (after)"),
        *("commit: Indefinite (before)", "commit: Indefinite (after)", "commit: Indefinite (under way)"),
        *("commit: Abortable (before)", "commit: Fatal (after)", "commit: Fenced (after)", "abort: Indefinite (after)"),
        *(
            "renew: Fatal (after)",
            "rewind: Unavailable (before)",
            "poll: Unavailable (before)",
            "step: Unavailable (before)",
        ),
    } <= set(answers)
