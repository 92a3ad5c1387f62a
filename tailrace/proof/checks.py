"""The invariants of docs/proof.md, each a function of the evidence: how often it is broken, and where at first."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tailrace.proof.evidence import Attempt, Evidence
from tailrace.proof.tape import OUTCOMES, Row

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """How often an invariant is broken, and the first cases in words."""

    count: int
    examples: tuple[str, ...] = ()


Check = Callable[[Evidence], Finding]


def _found(cases: Iterable[str]) -> Finding:
    listed = list(cases)
    return Finding(len(listed), tuple(listed[:_EXAMPLES]))


def complete(e: Evidence) -> Finding:
    """I1: every input position has a committed outcome, and no outcome is of something that is no input."""
    lost = (f"{at}: no outcome" for at in e.inputs if at not in e.outcomes)
    stray = (f"{at}: an outcome of no record" for at in e.outcomes if at not in e.inputs)
    return _found([*lost, *stray])


def single(e: Evidence) -> Finding:
    """I2: no position has two, seen by the reader of during the faults or by the one afterwards."""
    return _found(f"{at}: {n} outcomes" for at, n in e.outcomes.items() for _ in range(n - 1))


def never_ahead(e: Evidence) -> Finding:
    """I3: what lay below a committed offset, when that was seen, had its outcome written by then."""
    written: dict[tuple[int, int], int] = {}
    for row in e.after:
        if row.topic in OUTCOMES:
            written[row.at] = min(row.appended, written.get(row.at, row.appended))
    by_partition: dict[int, list[int]] = defaultdict(list)
    for partition, offset in sorted(e.inputs):
        by_partition[partition].append(offset)
    checked: Counter[int] = Counter()
    cases = []
    for seen, offsets in e.offsets:
        for partition, below in offsets.items():
            for offset in by_partition[partition][checked[partition] :]:
                if offset >= below:
                    break
                checked[partition] += 1
                if written.get((partition, offset), seen + 1) > seen:
                    cases.append(f"({partition}, {offset}): below the committed {below}, and had no outcome yet")
    return _found(cases)


def ordered(e: Evidence) -> Finding:
    """I4: the predictions of a key come in the order of its records; of a position that came twice, the first."""
    newest: dict[str, tuple[int, int]] = {}
    seen: set[tuple[int, int]] = set()
    cases = []
    for row, _ in e.predictions:
        source = e.inputs.get(row.at)
        if source is None or source.place is None or row.at in seen:
            continue
        seen.add(row.at)
        before = newest.get(source.key, (0, -1))
        now = (source.place, row.at[1])
        if now[0] <= before[0] or now[1] <= before[1]:
            cases.append(f"{row.at}: place {now[0]} of key {source.key} came after place {before[0]}")
        newest[source.key] = max(now, before)
    return _found(cases)


def no_aborted_read(e: Evidence) -> Finding:
    """I5: no reader was given anything of an attempt that its worker aborted, or what another reader never got."""
    aborted = {name for name, attempt in e.attempts.items() if attempt.ended == "aborted"}
    after, raw = {row.place for row in e.after}, {row.place for row in e.raw}
    cases = [f"{r.place}: of the aborted attempt {r.attempt}" for r in (*e.after, *e.live) if r.attempt in aborted]
    cases += [f"{r.place}: seen during the faults, not afterwards" for r in e.live if r.place not in after]
    cases += [
        f"{r.place}: seen under read_committed, not under read_uncommitted" for r in e.after if r.place not in raw
    ]
    return _found(cases)


def not_torn(e: Evidence) -> Finding:
    """I6: of an attempt, all its messages in all topics are visible, or none; a position's are of one attempt."""
    visible: dict[str, Counter[str]] = defaultdict(Counter)
    of: dict[tuple[int, int], set[str]] = defaultdict(set)
    for row in e.after:
        visible[row.attempt][row.topic] += 1
        if row.topic != "rollouts":  # where an epoch began to act may be said by one that scored nothing there
            of[row.at].add(row.attempt)
    cases = [
        f"attempt {name}: {dict(got)} of {e.attempts[name].counts if name in e.attempts else 'nothing'}"
        for name, got in visible.items()
        if name not in e.attempts or dict(got) != e.attempts[name].counts
    ]
    cases += [f"attempt {n}: committed, and not visible" for n, a in e.attempts.items() if _vanished(n, a, visible)]
    cases += [f"{at}: of attempts {sorted(names)}" for at, names in of.items() if len(names) > 1]
    return _found(cases)


def _vanished(name: str, attempt: Attempt, visible: Mapping[str, object]) -> bool:
    return attempt.ended == "committed" and bool(attempt.counts) and name not in visible


def fenced(e: Evidence) -> Finding:
    """I7: once a later life of a worker is visible in a partition, nothing of an earlier one follows."""
    born: dict[tuple[str, str], float] = {}
    for name, attempt in e.attempts.items():
        life = _life(name)
        born[life] = min(attempt.began, born.get(life, attempt.began))
    newest: dict[tuple[str, int, str], float] = {}
    cases = []
    for row in sorted(e.after, key=lambda r: r.place):
        mine = _life(row.attempt)
        at, where = born.get(mine, 0.0), (row.topic, row.partition, mine[0])
        if at < newest.get(where, 0.0):
            cases.append(f"{row.place}: of life {'.'.join(mine)}, after a later one")
        newest[where] = max(at, newest.get(where, 0.0))
    return _found(cases)


def _life(attempt: str) -> tuple[str, str]:
    slot, _, rest = attempt.partition(".")
    return slot, rest.rpartition(".")[0]


def provenance(e: Evidence) -> Finding:
    """I8: each prediction names the version in force at its position, its digest, and the ages of its features.

    In a canary's epoch that is the version of its key, and the challenger's predictions say that they are of a canary.
    """
    begun = {(a.partition, a.epoch): a.offset for a in e.applications}
    cases = []
    for row, made in e.predictions:
        epoch = e.epoch_at(row.at)
        ref, canary = e.owed(epoch, made.key), e.canaries.get(epoch)
        if ref is None or (made.epoch, made.version, made.digest) != (epoch, ref.version, ref.digest[:16]):
            cases.append(f"{row.at}: by version {made.version}, epoch {made.epoch}; in force was epoch {epoch}")
        elif begun.get((row.at[0], epoch), 1 << 62) > row.at[1]:
            cases.append(f"{row.at}: by epoch {epoch}, which `rollouts` lets begin later")
        elif ("canary" in made.flags) != (canary is not None and ref == canary.challenger):
            cases.append(f"{row.at}: by version {made.version}, with the flags {made.flags}")
        elif e.spec.lookups and set(made.ages or ()) != set(e.spec.lookups):
            cases.append(f"{row.at}: without the ages of its features")
    return _found(cases)


def aborted_rows(e: Evidence) -> list[Row]:
    """What was written and never became visible: without any, I5 and I6 were not put to the test."""
    after = {row.place for row in e.after}
    return [row for row in e.raw if row.place not in after]


CHECKS: Mapping[str, Check] = {
    "I1": complete,
    "I2": single,
    "I3": never_ahead,
    "I4": ordered,
    "I5": no_aborted_read,
    "I6": not_torn,
    "I7": fenced,
    "I8": provenance,
}
TRANSACTIONAL = frozenset({"I5", "I6", "I7"})  # what a delivery without transactions does not promise
