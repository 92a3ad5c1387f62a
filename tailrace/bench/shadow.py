"""`tailrace bench shadow`: what a challenger that scores beside the champion costs the champion's answers.

By turns the scorer alone and with a shadow worker beside it, both leaving an observation of each record. The challenger
is the champion's own bundle, so that the two cost the same.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from shared.adapters.kafka.announcer import Announcer
from shared.core.errors import UserError
from shared.core.records import Rollout
from shared.core.topics import topic
from tailrace.bench.cases import SEEN
from tailrace.bench.ground import Ground, prepare
from tailrace.bench.latency import BATCH, Row, middle, round_of
from tailrace.bench.material import LINEAR
from tailrace.bench.pin import pinned, placed
from tailrace.bench.runner import Runner
from tailrace.bench.scrape import Scraped
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ready import is_ready
from tailrace.stack.stack import Stack, to_stderr

READY_S, TICK_S = 60.0, 0.1
WANTED = 1.1  # times the latency of the champion alone
ALONE, BESIDE = "alone", "beside a shadow"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. `ratios`: beside a shadow by alone, the median of the rounds' ratios, with the `range`.

    `shadowed` is the records that the shadow scored meanwhile.
    """

    ok: bool
    rows: list[Row]
    ratios: dict[str, float]
    range: dict[str, tuple[float, float]]
    shadowed: int
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
        repeat: rounds, in each of which both run; every other round begins with the shadow.
        pin: give the scorer a core to itself.

    Raises:
        UserError: something could not be started, no answers came, or the shadow scored nothing.
    """
    with pinned(wish=pin) as core, Stack(folder / "state", parts=("kafka",), external=Endpoints()) as stack:
        ground = prepare(Runner(stack), folder, LINEAR, BATCH, core)
        _announce(ground)
        seen: dict[str, list[Row]] = {ALONE: [], BESIDE: []}
        shadowed = 0
        for turn in range(repeat):
            for way in (ALONE, BESIDE) if turn % 2 == 0 else (BESIDE, ALONE):
                to_stderr(f"round {turn + 1}: {way}")
                if way == ALONE:
                    seen[way].append(round_of(ground, ground.ours(SEEN), way, rate, seconds))
                    continue
                with _shadow(ground) as address:
                    seen[way].append(round_of(ground, ground.ours(SEEN), way, rate, seconds))
                    shadowed += _scored(address)
        return _result(seen, shadowed, rate, seconds, core)


def _announce(ground: Ground) -> None:
    ref, name = ground.ref, ground.kind.name
    rollout = Rollout(name, 2, ref, "active", "measured beside itself", challenger=ref, mode="shadow")
    announcer = Announcer(ground.runner.conf, READY_S)
    announcer.send(topic(name, "models"), f"{name}/{rollout.epoch}".encode(), msgspec.json.encode(rollout))
    announcer.close()


@contextmanager
def _shadow(ground: Ground) -> Iterator[str]:
    """A shadow worker that owns the journal; gives its address."""
    (program,) = ground.shadow(SEEN)
    supervisor, deadline = ground.runner.stack.supervisor, time.monotonic() + READY_S
    supervisor.start(program)
    try:
        while not is_ready(program.address):
            if time.monotonic() > deadline:
                raise UserError(f"{program.name} is not ready after {READY_S:g} s", remedy="see its log")
            time.sleep(TICK_S)
        yield program.address
    finally:
        supervisor.stop([program.name])
    ground.runner.forget(f"tailrace.{ground.kind.name}.shadow")


def _scored(address: str) -> int:
    scored = round(Scraped(address).total("tailrace_records_total"))
    if not scored:
        raise UserError("the shadow scored nothing", remedy="see its log")
    return scored


def _result(seen: dict[str, list[Row]], shadowed: int, rate: float, seconds: float, core: int | None) -> Result:
    found = {q: _ratios(seen, q) for q in ("p50", "p95", "p99")}
    ratios = {q: round(median(each), 3) for q, each in found.items()}
    return Result(
        ok=max(ratios["p50"], ratios["p99"]) <= WANTED,
        rows=[middle(way, rows) for way, rows in seen.items()],
        ratios=ratios,
        range={q: (min(each), max(each)) for q, each in found.items()},
        shadowed=shadowed,
        rate=rate,
        seconds=seconds,
        repeat=len(seen[ALONE]),
        cores=os.cpu_count() or 1,
        load=round(os.getloadavg()[0], 2),
        note=placed(core),
    )


def _ratios(seen: dict[str, list[Row]], quantile: str) -> Sequence[float]:
    pairs = zip(seen[BESIDE], seen[ALONE], strict=True)
    return [round(getattr(beside, quantile) / getattr(alone, quantile), 3) for beside, alone in pairs]


def table(result: Result) -> str:
    """The result, for a person."""
    lines = [f"{'ms from send to readable':<32}{'p50':>8}{'p95':>8}{'p99':>8}"]
    lines += [f"{row.name:<32}{row.p50:>8.1f}{row.p95:>8.1f}{row.p99:>8.1f}" for row in result.rows]
    lines.append(f"{'ratio':<32}" + "".join(f"{value:>8.2f}" for value in result.ratios.values()))
    low_high = "".join(f"{f'{low:.2f}-{high:.2f}':>11}" for low, high in result.range.values())
    lines.append(f"{'lowest and highest':<23}{low_high}")
    lines.append(f"p50 and p99 at most {WANTED:g} times: {'as wanted' if result.ok else 'not as wanted'}")
    lines.append(f"the shadow scored {result.shadowed:,} records meanwhile")
    lines.append(f"{result.rate:g} records/s, median of {result.repeat} rounds of {result.seconds:g} s")
    lines.append(f"{result.cores} cores, load {result.load:g}; {result.note}")
    return "\n".join(lines)
