"""`tailrace bench scaleout`: more workers, workers that come and go, all workers restarted, at steady load."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec
from confluent_kafka import Producer

from shared.adapters.kafka.positions import GroupPositions
from shared.core.errors import Unavailable, UserError
from tailrace.bench.cases import ONCE
from tailrace.bench.crew import Crew
from tailrace.bench.flow import Arrivals, Feed, Reader, record, rests
from tailrace.bench.ground import Ground, prepare
from tailrace.bench.material import NAME, Kind
from tailrace.bench.runner import Runner
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.stack import Stack, to_stderr

KIND = Kind("linear", f"{NAME}_scale", partitions=8)
WORKERS, BATCH = (1, 2, 4), 10_000
WARM_S, STEADY_S, AFTER_S, DRAIN_S = 3.0, 3.0, 2.0, 60.0
WANTED_PAUSE_S = 3.0


class Load(msgspec.Struct, frozen=True):
    """Full load on so many workers: records/s of all, by those of one; partitions and share of records of each."""

    workers: int
    records_per_s: float
    speedup: float
    partitions: list[int]
    shares: list[float]


class Phase(msgspec.Struct, frozen=True):
    """A time at steady load: the longest pause of a partition (s), the same of those that stayed where they were.

    `p99` in ms from send to readable; `moved` partitions had another owner at the end. In `rolling restart` each moves
    away and perhaps back, so none counts as having stayed.
    """

    name: str
    seconds: float
    longest_pause_s: float
    stayed_pause_s: float | None
    moved: int
    p99: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints."""

    ok: bool
    loads: list[Load]
    phases: list[Phase]
    lost: int
    doubled: int
    rate: float
    sent: int
    leave_s: float
    cores: int
    load: float


def measure(folder: Path, *, records: int, rate: float, repeat: int, workers: Sequence[int] = WORKERS) -> Result:
    """Run the bench on an embedded Kafka in this folder, and stop it.

    Args:
        folder: for all that is made.
        records: at full load, a run.
        rate: records/s of the steady load.
        repeat: runs at full load.
        workers: how many at full load; the most of them in the rolling restart.

    Raises:
        UserError: something could not be started, or did not finish.
    """
    with Stack(folder / "state", parts=("kafka",), external=Endpoints()) as stack:
        ground = prepare(Runner(stack), folder, KIND, BATCH, None)
        programs = ground.workers(ONCE, max(workers) + 1)
        crew = Crew(stack.supervisor, programs, KIND.partitions)
        try:
            loads = _loads(ground, crew, records, repeat, workers)
            phases, came, leave = _steady(ground, crew, rate, max(workers))
        finally:
            crew.stop_all()
    return Result(
        ok=came.lost == came.doubled == 0 and phases[-1].longest_pause_s <= WANTED_PAUSE_S,
        loads=loads,
        phases=phases,
        lost=came.lost,
        doubled=came.doubled,
        rate=rate,
        sent=len(came.sent),
        leave_s=leave,
        cores=os.cpu_count() or 1,
        load=round(os.getloadavg()[0], 2),
    )


def _loads(ground: Ground, crew: Crew, records: int, repeat: int, workers: Sequence[int]) -> list[Load]:
    seen: dict[int, list[Load]] = {n: [] for n in workers}
    for turn in range(repeat):
        for n in workers:
            to_stderr(f"round {turn + 1}: full load on {n}")
            crew.start(*range(n))
            rate = _full(ground, records)
            done = crew.records()
            shares = [round(one / max(sum(done), 1), 3) for one in done]
            seen[n].append(Load(n, rate, 1.0, crew.spread(), shares))
            crew.stop_all()
    rates = {n: median(load.records_per_s for load in loads) for n, loads in seen.items()}
    one = rates[workers[0]]
    return [
        msgspec.structs.replace(loads[-1], records_per_s=rates[n], speedup=round(rates[n] / one, 2))
        for n, loads in seen.items()
    ]


def _full(ground: Ground, records: int) -> float:
    """Records/s over a load that all workers see at once: it is written in one transaction, committed at its end."""
    conf, group = ground.runner.conf, ground.group
    producer = Producer({"transactional.id": "bench-full", "compression.type": "lz4", "log_level": 2, **conf})
    producer.init_transactions(30)
    producer.begin_transaction()
    ends = rests()
    for i in range(records):
        key, value = record(i, ends)
        while True:
            try:
                producer.produce(ground.source, value, key)
            except BufferError:
                producer.poll(0.01)
            else:
                break
    producer.flush(60)
    producer.commit_transaction(30)
    began = time.monotonic()
    positions = GroupPositions(conf, group, ground.source)
    try:
        wanted = {p: end - 1 for p, end in positions.ends().items()}  # the last one is the transaction's own marker
        while not _reached(positions, wanted):
            if time.monotonic() - began > 60 + records / 500:
                raise UserError(f"{records:,} records were not scored", remedy="see the workers' logs")
            time.sleep(0.02)
    finally:
        positions.close()
    return round(records / (time.monotonic() - began), 1)


def _reached(positions: GroupPositions, wanted: dict[int, int]) -> bool:
    try:
        at = positions.committed()
    except Unavailable:
        return False
    return all(at.get(p, 0) >= end for p, end in wanted.items())


def _steady(ground: Ground, crew: Crew, rate: float, workers: int) -> tuple[list[Phase], Arrivals, float]:
    """Steady load; one worker more comes and goes, then all are restarted one by one."""
    conf, marks, leaves = ground.runner.conf, list[Mark](), list[float]()
    reader = Reader(conf, ground.predictions, KIND.partitions)
    feed = Feed(conf, ground.source, lambda _: rate)
    crew.start(*range(workers))
    reader.start()
    feed.start()
    try:
        reader.wait(round(rate * WARM_S), DRAIN_S)
        while len(feed.sent) - reader.read > rate and reader.broken is None:  # what came while the first batch waited
            time.sleep(0.1)
        with _marked(marks, "steady", crew):
            time.sleep(STEADY_S)
        with _marked(marks, "a worker comes", crew):
            crew.start(workers)
        with _marked(marks, "a worker leaves", crew):
            leaves.append(crew.stop(workers))
        with _marked(marks, "rolling restart", crew):
            for slot in range(workers):
                leaves.append(crew.stop(slot))
                crew.start(slot)
                time.sleep(AFTER_S)
        feed.finish()
        reader.wait(len(feed.sent), DRAIN_S)
    finally:
        feed.finish()
        reader.finish()
    came = reader.arrivals(feed)
    return [_phase(mark, came) for mark in marks], came, round(max(leaves), 2)


class Mark(msgspec.Struct, frozen=True):
    """When a phase was, and who owned what before and after it."""

    name: str
    begin: float
    end: float
    before: dict[int, int]
    after: dict[int, int]


@contextmanager
def _marked(marks: list[Mark], name: str, crew: Crew) -> Iterator[None]:
    to_stderr(name)
    before, begin = crew.owners(), time.perf_counter()
    yield
    time.sleep(AFTER_S)
    marks.append(Mark(name, begin, time.perf_counter(), before, crew.owners()))


def _phase(mark: Mark, came: Arrivals) -> Phase:
    pauses = {p: came.longest_gap(p, mark.begin, mark.end) for p in range(KIND.partitions)}
    moved = {p for p in pauses if mark.before.get(p) != mark.after.get(p)}
    stayed = [seconds for p, seconds in pauses.items() if p not in moved]
    return Phase(
        name=mark.name,
        seconds=round(mark.end - mark.begin, 1),
        longest_pause_s=round(max(pauses.values()), 3),
        stayed_pause_s=round(max(stayed), 3) if stayed and mark.name != "rolling restart" else None,
        moved=len(moved),
        p99=round(came.quantile(0.99, mark.begin, mark.end), 1),
    )


def table(result: Result) -> str:
    """The result, for a person."""
    lines = [f"{'workers':>7}{'records/s':>12}{'by one':>8}   partitions, share of records"]
    for one in result.loads:
        each = ", ".join(f"{p} ({share:.0%})" for p, share in zip(one.partitions, one.shares, strict=True))
        lines.append(f"{one.workers:>7}{one.records_per_s:>12,.0f}{one.speedup:>8.2f}   {each}")
    lines.append(
        f"{f'at {result.rate:g} records/s':<24}{'longest pause':>14}{'who stayed':>12}{'moved':>7}{'p99 ms':>9}"
    )
    for phase in result.phases:
        stayed = "" if phase.stayed_pause_s is None else f"{phase.stayed_pause_s:.2f} s"
        lines.append(f"{phase.name:<24}{phase.longest_pause_s:>12.2f} s{stayed:>12}{phase.moved:>7}{phase.p99:>9.0f}")
    lines.append(
        f"{result.sent:,} sent, {result.lost} lost, {result.doubled} doubled; slowest leave {result.leave_s:.2f} s"
    )
    lines.append(f"{result.cores} cores, load {result.load:g}; nothing was pinned")
    return "\n".join(lines)
