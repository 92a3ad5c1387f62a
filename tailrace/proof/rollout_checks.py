"""What a rollout promises beside a delivery, each a function of the evidence."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shared.core.records import Prediction
from tailrace.proof.checks import Finding
from tailrace.proof.evidence import Evidence
from tailrace.proof.tape import CONTROL, OUTCOMES, Position, Row

_EXAMPLES = 3
NEAR_MS = 1_000  # a record that came so shortly before or after a barrier is one of the swap


def _found(cases: Iterable[str]) -> Finding:
    listed = list(cases)
    return Finding(len(listed), tuple(listed[:_EXAMPLES]))


def one_beginning(e: Evidence, partitions: int) -> Finding:
    """V1: in every partition each epoch begins to act at one offset: that after its first genuine barrier."""
    begun: dict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)
    for one in e.applications:
        begun[one.partition, one.epoch].append((one.offset, one.cause))
    cases = []
    newest = dict.fromkeys(range(partitions), 0)
    for partition in range(partitions):
        for offset, epoch in e.barriers.get(partition, ()):
            if epoch <= newest[partition]:
                continue  # of a successor, or from long ago: it may change nothing
            newest[partition] = epoch
            where = [at for at, _ in begun.pop((partition, epoch), ())]
            if where != [offset + 1]:
                cases.append(f"partition {partition}: epoch {epoch} has its barrier at {offset} and began at {where}")
    cases += [
        f"partition {partition}: epoch {epoch} began at {[at for at, _ in found]} without a barrier"
        for (partition, epoch), found in begun.items()
        if any(cause != "first" for _, cause in found)
    ]
    return _found(cases)


def settled(e: Evidence, partitions: int, epoch: int) -> Finding:
    """V2: every partition came to the last epoch."""
    last = {p: max((epoch for _, epoch in e.barriers.get(p, ())), default=0) for p in range(partitions)}
    return _found(
        f"partition {p}: its last barrier is of epoch {at}, not {epoch}" for p, at in last.items() if at != epoch
    )


def replayed(before: Mapping[Position, str], after: Mapping[Position, str]) -> Finding:
    """V3: read again from the same offsets, each record is scored by the same version."""
    missing = (f"{at}: was not scored again" for at in before if at not in after)
    other = (f"{at}: by version {before[at]}, again by {v}" for at, v in after.items() if before.get(at, v) != v)
    return _found([*missing, *other])


def never_scored(e: Evidence, refused: Mapping[str, str]) -> Finding:
    """V4: no record was scored by a version that had to be refused.

    Args:
        e: the evidence.
        refused: version -> what is wrong with it.
    """
    scored = ((row.at, made.version) for row, made in e.predictions if made.version in refused)
    return _found(f"{at}: scored by version {version} ({refused[version]})" for at, version in scored)


class Swap(NamedTuple):
    """One epoch's barriers: when the first was written, and how long until the last partition had scored by it (ms)."""

    epoch: int
    at: int
    lasted: int


def swaps(e: Evidence, until: int) -> list[Swap]:
    """How long rollouts took whose barriers were written before `until` (Unix ms), by the broker's own times."""
    written: dict[int, dict[int, int]] = defaultdict(dict)
    for row in e.records:
        if row.topic == CONTROL and row.appended < until:
            for offset, epoch in e.barriers[row.partition]:
                if offset == row.offset:
                    written[epoch].setdefault(row.partition, row.appended)
    first: dict[tuple[int, int], int] = {}
    for row, made in e.predictions:
        first.setdefault((made.epoch, row.partition), row.appended)
    return [
        Swap(epoch, min(at.values()), max(first.get((epoch, p), until) for p in at) - min(at.values()))
        for epoch, at in sorted(written.items())
    ]


def latencies(e: Evidence, around: Sequence[Swap], until: int) -> tuple[list[int], list[int]]:
    """Milliseconds from a record's append to its outcome's: near a swap, and of all others before `until`."""
    came = {row.at: row.appended for row in e.records if row.topic != CONTROL and row.appended < until}
    near: list[int] = []
    far: list[int] = []
    for row in e.after:
        at = came.get(row.at) if row.topic in OUTCOMES else None
        if at is None:
            continue
        inside = any(swap.at - NEAR_MS <= at <= swap.at + NEAR_MS for swap in around)
        (near if inside else far).append(row.appended - at)
    return near, far


def versions_of(rows: Iterable[tuple[Row, Prediction]]) -> dict[Position, str]:
    """The version of each prediction, by input position; of two of a position the later one."""
    return {row.at: made.version for row, made in rows}
