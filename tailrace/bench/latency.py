"""`tailrace bench latency`: from a producer's send to readable under read_committed, beside the bare loop."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec

from shared.core.errors import UserError
from tailrace.bench.cases import ONCE, SEEN
from tailrace.bench.flow import Feed, Reader
from tailrace.bench.ground import Ground, Side, prepare
from tailrace.bench.material import LINEAR, Variant
from tailrace.bench.pin import pinned, placed
from tailrace.bench.runner import Runner
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.stack import Stack, to_stderr

BATCH = 10_000
WARM_S, START_S, DRAIN_S = 2.0, 60.0, 30.0
WANTED = {"p50": 1.25, "p95": 0.0, "p99": 1.7}  # times the bare loop's; 0: nothing is wanted
WAYS: dict[str, Variant] = {"no observations": ONCE, "observations": SEEN}
Who = Literal["bare loop", "tailrace"]


class Row(msgspec.Struct, frozen=True):
    """One program: ms from send to readable, each the median over the rounds; n is the records of all of them."""

    name: str
    p50: float
    p95: float
    p99: float
    n: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. `ratios`: ours by the bare loop's, by way and quantile; `reached`: as wanted, or not."""

    ok: bool
    rows: list[Row]
    ratios: dict[str, dict[str, float]]
    reached: dict[str, bool]
    rate: float
    seconds: float
    repeat: int
    cores: int
    load: float
    note: str


def measure(folder: Path, *, rate: float, seconds: float, repeat: int, pin: bool) -> Result:
    """Run the bench on an embedded Kafka in this folder, and stop it.

    Args:
        folder: for all that is made.
        rate: records/s.
        seconds: of each round, after its warm-up.
        repeat: rounds, in each of which all four run.
        pin: give the worker a core to itself.

    Raises:
        UserError: something could not be started, or no answers came.
    """
    with pinned(wish=pin) as core, Stack(folder / "state", parts=("kafka",), external=Endpoints()) as stack:
        ground = prepare(Runner(stack), folder, LINEAR, BATCH, core)
        seen: dict[tuple[Who, str], list[Row]] = {}
        for turn in range(repeat):
            for way, variant in WAYS.items():
                for who, side in _sides(ground, variant):
                    to_stderr(f"round {turn + 1}: {who}, {way}")
                    seen.setdefault((who, way), []).append(round_of(ground, side, who, rate, seconds))
        return _result({key: middle(f"{key[0]}, {key[1]}", rows) for key, rows in seen.items()}, rate, seconds, core)


def _sides(ground: Ground, variant: Variant) -> Sequence[tuple[Who, Side]]:
    gather = 0.003  # the pipeline's own default: the bare loop waits no longer than ours
    return [("bare loop", ground.bare(variant, gather)), ("tailrace", ground.ours(variant))]


def round_of(ground: Ground, side: Side, who: str, rate: float, seconds: float) -> Row:
    """One program for so many seconds (after its warm-up) at a rate (records/s); its records are gone afterwards.

    Raises:
        UserError: it gave no answer.
    """
    conf, supervisor = ground.runner.conf, ground.runner.stack.supervisor
    reader, feed = Reader(conf, side.predictions, ground.kind.partitions), Feed(conf, ground.source, lambda _: rate)
    supervisor.start(side.program)
    reader.start()
    feed.start()
    try:
        if not reader.wait(1, START_S):
            raise UserError(f"{who} gave no answer in {START_S:g} s", remedy="see its log")
        begin = time.perf_counter() + WARM_S
        time.sleep(WARM_S + seconds)
        end = begin + seconds
        feed.finish()
        reader.wait(len(feed.sent), DRAIN_S)
    finally:
        feed.finish()
        reader.finish()
        supervisor.stop([side.program.name])
    ground.runner.forget(side.group)
    ground.clear(ground.source, side.predictions, side.journal)
    came = reader.arrivals(feed)
    p50, p95, p99 = (round(came.quantile(share, begin, end), 2) for share in (0.5, 0.95, 0.99))
    return Row(who, p50, p95, p99, round(rate * seconds))


def middle(name: str, rows: Sequence[Row]) -> Row:
    """The median of each quantile over several rounds."""
    p50, p95, p99 = (median(getattr(row, quantile) for row in rows) for quantile in WANTED)
    return Row(name, p50, p95, p99, sum(row.n for row in rows))


def _result(rows: dict[tuple[Who, str], Row], rate: float, seconds: float, core: int | None) -> Result:
    ratios = {
        way: {q: round(getattr(rows["tailrace", way], q) / getattr(rows["bare loop", way], q), 3) for q in WANTED}
        for way in WAYS
    }
    reached = {
        f"{way}, {q}": ratios[way][q] <= most for way in WAYS for q, most in WANTED.items() if most
    }  # fmt: skip
    return Result(
        ok=all(reached.values()),
        rows=list(rows.values()),
        ratios=ratios,
        reached=reached,
        rate=rate,
        seconds=seconds,
        repeat=round(next(iter(rows.values())).n / (rate * seconds)),
        cores=os.cpu_count() or 1,
        load=round(os.getloadavg()[0], 2),
        note=placed(core),
    )


def table(result: Result) -> str:
    """The result, for a person."""
    lines = [f"{'ms from send to readable':<32}{'p50':>8}{'p95':>8}{'p99':>8}{'by bare loop':>30}"]
    for row in result.rows:
        who, _, way = row.name.partition(", ")
        found = result.ratios[way] if who == "tailrace" else {}
        beside = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
        lines.append(f"{row.name:<32}{row.p50:>8.1f}{row.p95:>8.1f}{row.p99:>8.1f}{beside:>30}")
    lines += [f"{name}: {'as wanted' if reached else 'not as wanted'}" for name, reached in result.reached.items()]
    lines.append(f"{result.rate:g} records/s, median of {result.repeat} rounds of {result.seconds:g} s")
    lines.append(f"{result.cores} cores, load {result.load:g}; {result.note}")
    return "\n".join(lines)
