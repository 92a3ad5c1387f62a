"""What a proof of bad challengers came to, as data and in words."""

import msgspec

from tailrace.proof.challengers_trial import End


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one challenger.

    `caught` is whether the controller took it back by itself; `signal` and `reason` say by what, `step` in which step.
    `after_records` and `after_s` are from the first step's beginning to the revocation (or to the end of the trial):
    records that were sent to the pipeline, and seconds. `steps` are those that it came to. `scored` counts its
    predictions, `shadowed` what it scored where nobody saw it, `dead_letters` records that had no valid answer
    meanwhile; `last_s` is from the revocation to its last prediction, as the broker's clock has it (0: none after it).
    """

    name: str
    version: str
    caught: bool
    end: End
    signal: str = ""
    step: str = ""
    steps: tuple[str, ...] = ()
    after_records: int = 0
    after_s: float = 0.0
    scored: int = 0
    shadowed: int = 0
    dead_letters: int = 0
    last_s: float = 0.0
    reason: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    `ok`: the good refit became the champion, whoever was caught was rolled back, the champion was in force everywhere
    at the end, and every record has exactly one outcome. That all ten are caught is not promised: `missed` names those
    that were not. `in_force` is the champion's version at the end, `left` partitions whose last prediction is by
    another one.
    """

    ok: bool
    plan: str
    n: int
    seed: int
    good: Row
    rows: list[Row]
    caught: int
    missed: list[str]
    in_force: str
    wanted: str
    left: list[int]
    lost: int
    doubled: int
    dead_letters: dict[str, int]
    wall_s: float


def words(v: Verdict) -> str:
    """For a person."""
    told = [f"{v.n:,} records, {v.lost} lost, {v.doubled} doubled; plan: {v.plan}", "", _HEAD]
    told += [_line(row) for row in (v.good, *v.rows)]
    missed = f"; not caught: {', '.join(v.missed)}" if v.missed else ""
    told += ["", f"{v.caught} of {len(v.rows)} bad challengers were rolled back by the controller itself{missed}"]
    where = f", but not in partitions {v.left}" if v.left else " everywhere"
    told.append(f"in force at the end: version {v.in_force}{where} (wanted {v.wanted})")
    told.append(f"{'ok' if v.ok else 'BROKEN'} after {v.wall_s:,.0f} s")
    return "\n".join(told)


_HEAD = f"{'challenger':18} {'caught by':12} {'in step':12} {'records':>8} {'s':>6} {'scored':>7} {'in shadow':>9}"


def _line(row: Row) -> str:
    by = row.signal if row.caught else f"({row.end})"
    figures = f"{row.after_records:8,} {row.after_s:6.1f} {row.scored:7,} {row.shadowed:9,}"
    return f"{row.name:18} {by:12} {row.step or '-':12} {figures}  {row.reason}"
