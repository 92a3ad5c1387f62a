"""`tailrace verify simulation`: thousands of seeded schedules of the loop over a log in memory, each with its books."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.testing.schedules.books import INVARIANTS
from shared.testing.schedules.schedule import LENGTH, REAL, Run, Schedule
from shared.testing.schedules.strands import Strands
from shared.testing.schedules.worker import Parts

RULE_OF_THREE = 3.0  # 0 violations in n runs: with 95 % confidence the rate is below 3/n


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule that broke a promise, and the same one cut as short as it still does; `repeat` runs it again."""

    seed: int
    length: int
    violations: list[str]
    trace: list[str]
    repeat: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a campaign came to.

    `seed` is that of the first schedule, the others follow it one by one; `violations` counts broken promises by
    invariant; `bound95` is the rate of bad schedules that is excluded with 95 % confidence, None where one was found.
    """

    ok: bool
    n: int
    seed: int
    violations: dict[str, int]
    bound95: float | None
    outcomes: int
    steps: int
    found: Found | None


def simulate(
    schedules: int, seed: int = 0, *, parts: Parts = REAL, progress: Callable[[int], None] = lambda _: None
) -> Verdict:
    """Run schedules until one breaks a promise, or all are done.

    Args:
        schedules: how many, of the seeds `seed`, `seed + 1`, ...
        seed: of the first.
        parts: what workers are made of; a planted bug is another part.
        progress: told now and then how many are done.

    Returns:
        The verdict; the same for the same arguments, byte for byte.
    """
    outcomes = steps = 0
    with Strands() as strands:
        for n, one in enumerate(range(seed, seed + schedules), 1):
            run = Schedule(one, strands, parts).run()
            outcomes, steps = outcomes + run.outcomes, steps + run.steps
            if run.violations:
                counts = Counter(v.invariant for v in run.violations)
                return _verdict(n, seed, counts, outcomes, steps, _shortest(run, strands, parts))
            if n % 100 == 0:
                progress(n)
    return _verdict(schedules, seed, {}, outcomes, steps, None)


def _verdict(n: int, seed: int, counts: Mapping[str, int], outcomes: int, steps: int, found: Found | None) -> Verdict:
    violations = {name: counts.get(name, 0) for name in INVARIANTS}
    bound = None if found else RULE_OF_THREE / n
    return Verdict(found is None, n, seed, violations, bound, outcomes, steps, found)


def _shortest(run: Run, strands: Strands, parts: Parts) -> Found:
    """The same schedule with peace after as few steps as still break the promise: a prefix of the same trouble."""
    for length in range(1, LENGTH):
        shorter = Schedule(run.seed, strands, parts, length).run()
        if shorter.violations:
            run = shorter
            break
    repeat = f"tailrace verify simulation --schedules 1 --seed {run.seed}"
    return Found(run.seed, run.length, [str(v) for v in run.violations], list(run.trace.lines()), repeat)


def words(verdict: Verdict) -> str:
    """The verdict for a person."""
    if verdict.found is None:
        ran = f"{verdict.n:,} schedules from seed {verdict.seed}, {verdict.steps:,} steps, {verdict.outcomes:,} records"
        return f"{ran}: no violation (95 % bound: {verdict.bound95:.2g} a schedule)"
    found = verdict.found
    broken = "\n".join(found.violations)
    trace = "\n".join(found.trace)
    return f"{trace}\n\nschedule {found.seed}, cut to {found.length} steps of trouble:\n{broken}\nagain: {found.repeat}"
