"""What `tailrace bench peers` prints: rows, and ours by each peer."""

from collections.abc import Sequence
from itertools import product

import msgspec

from tailrace.bench.answers import Outcome
from tailrace.bench.peer_env import WAYS, Peer

OURS = "tailrace"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One program. Figures lie between its first outputs and its last; CPU is that of all its threads."""

    name: str
    version: str
    client: str
    guarantee: str
    records_per_s: float
    cpu_us_per_record: float
    rss_mb: float
    n: int
    outcome: Outcome


class Ratio(msgspec.Struct, frozen=True):
    """Ours by the peer: records/s (more is better), CPU a record (less is better), and what was wanted (0: nothing)."""

    records_per_s: float
    cpu_us_per_record: float
    wanted: float
    reached: bool


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. `not_run`: why, by peer.

    `ok`: all that were asked for ran, every ratio is reached, and ours answered every record as the bare loop did.
    """

    ok: bool
    rows: list[Row]
    ratios: dict[str, Ratio]
    not_run: dict[str, str]
    records: int
    record_bytes: int
    cores: int
    load: float
    note: str
    versions: dict[str, str]


def ratios(rows: Sequence[Row], peers: Sequence[Peer]) -> dict[str, Ratio]:
    """Ours by each peer that ran: records/s, CPU a record, and whether the wanted ratio of records/s is reached."""
    by_name = {row.name: row for row in rows}
    ours = by_name[OURS]
    found = {}
    for peer, way in product(peers, WAYS):
        row, wanted = by_name.get(peer.called(way)), 0.0 if way else peer.wanted
        if row is not None:
            rate = ours.records_per_s / row.records_per_s
            cpu = ours.cpu_us_per_record / max(row.cpu_us_per_record, 1e-9)
            found[row.name] = Ratio(round(rate, 2), round(cpu, 3), wanted, rate >= wanted)
    return found


def table(result: Result) -> str:
    """The result, for a person."""
    lines = [f"{'':<28}{'records/s':>10}{'CPU us/record':>15}{'peak MB':>9}{'ours by it':>18}  guarantee, outcome"]
    for row in result.rows:
        ratio = result.ratios.get(row.name)
        wanted = f" (want {ratio.wanted:g})" if ratio and ratio.wanted else ""
        beside = f"{ratio.records_per_s:.1f}{wanted}" if ratio else ""
        figures = f"{row.records_per_s:>10,.0f}{row.cpu_us_per_record:>15.2f}{row.rss_mb:>9.0f}{beside:>18}"
        lines.append(f"{f'{row.name} {row.version}':<28}{figures}  {row.guarantee}, {_words(row.outcome)}")
    lines += [f"{name}: not run: {why}" for name, why in result.not_run.items()]
    return "\n".join([*lines, f"{result.records:,} records, {result.cores} cores, load {result.load:g}; {result.note}"])


def _words(found: Outcome) -> str:
    bad = [f"{n:,} {what}" for what in ("wrong", "missing", "duplicates") if (n := getattr(found, what))]
    ways = "in transactions" if found.transactions else "outside transactions"
    return ", ".join([f"{found.right:,} right", *bad, ways])
