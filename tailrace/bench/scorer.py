"""`tailrace bench scorer`: the real worker and a bare loop over the same records, on a broker of their own."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from shared.adapters.kafka.publisher import KafkaPublisher
from tailrace.bench.cases import CASES, Case, Ratio, middle, observing, ratio
from tailrace.bench.ground import BARE_LOOP, Ground, Side, prepare
from tailrace.bench.material import Kind, preload
from tailrace.bench.pin import pinned, placed
from tailrace.bench.runner import Row, Runner
from tailrace.bench.same import differences, outputs
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.jars import kafka_version
from tailrace.stack.stack import Stack, to_stderr

__all__ = ["BARE_LOOP", "LARGEST", "PACKAGES", "Bench", "Result", "measure", "table"]
PACKAGES = ("confluent-kafka", "msgspec", "numpy", "onnxruntime")
LARGEST = 10_000  # records of a batch: the default of a pipeline


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints; each row is the median of `repeat` runs.

    `ratios`: by case, our records/s and CPU by those of the bare loop that does the same. `reached`: whether the wanted
    ratio of records/s and of CPU is. `observing`: by kind, what observing every record adds to the CPU us a record of
    the bare loop (the cost of writing it) and of ours. `identical` counts the messages that both wrote alike: bytes,
    headers, partition; `different` the others.
    """

    ok: bool
    rows: list[Row]
    ratios: dict[str, Ratio]
    reached: dict[str, bool]
    observing: dict[str, Ratio]
    records: int
    repeat: int
    record_bytes: int
    batch: int
    identical: int
    different: int
    cores: int
    load: float
    note: str
    versions: dict[str, str]


class Bench:
    """One bench on an open stack.

    Args:
        runner: over the stack, with Kafka up, and Redis where a case looks features up.
        home: folder for what is made.
        records: how many to score in each run.
        core: where workers go; None for anywhere.
    """

    def __init__(self, runner: Runner, home: Path, records: int, core: int | None) -> None:
        self._runner, self._home, self._records, self._core = runner, home, records, core
        self.batch = min(LARGEST, max(records // 10, 100))  # ten batches at least, or nothing could be measured
        self._same = self._other = 0

    def run(self, cases: Sequence[Case], repeat: int) -> Result:
        """Prepare, run every case by turns, compare.

        Raises:
            UserError: a part could not be started, or did not finish.
        """
        kinds = list(dict.fromkeys(case.kind for case in cases))
        grounds = {kind: self._prepared(kind) for kind in kinds}
        first, *more = (ground.source for ground in grounds.values())
        size = preload(KafkaPublisher(self._runner.conf), first, self._records, *more)
        to_stderr(f"{self._records:,} records of {size} bytes are there; batches of at most {self.batch:,}")
        pairs = {case: self._pair(case, grounds[case.kind], repeat) for case in cases}
        return self._result(pairs, size, repeat)

    def _prepared(self, kind: Kind) -> Ground:
        return prepare(self._runner, self._home, kind, self.batch, self._core, self._records)

    def _pair(self, case: Case, ground: Ground, repeat: int) -> tuple[Row, Row]:
        """The bare loop and ours by turns, so that what else runs meets both; each time the same bytes."""
        names = f"bare loop, {case.name}", f"tailrace, {case.name}"
        seen: tuple[list[Row], list[Row]] = ([], [])
        for turn in range(repeat):
            sides = ground.bare(case.variant), ground.ours(case.variant)
            for name, side, rows in zip(names, sides, seen, strict=True):
                rows.append(self._runner.row(name, side.program, side.group, ground.source, self._records))
            if turn == 0:
                self._compare(*sides, observed=bool(case.variant.sample))
            ground.clear(*(topic for side in sides for topic in (side.predictions, side.journal)))
        return middle(seen[0], names[0]), middle(seen[1], names[1])

    def _compare(self, bare: Side, ours: Side, *, observed: bool) -> None:
        conf = self._runner.conf
        found = [differences(*(outputs(conf, side.predictions) for side in (ours, bare)))]
        if observed:
            found.append(differences(*(outputs(conf, side.journal, observations=True) for side in (ours, bare))))
        self._same += sum(same for same, _ in found)
        self._other += sum(other for _, other in found)

    def _result(self, pairs: dict[Case, tuple[Row, Row]], size: int, repeat: int) -> Result:
        ratios = {case.name: ratio(ours, bare) for case, (bare, ours) in pairs.items()}
        wanted = {case.name: case.wanted for case in pairs if case.wanted}
        versions = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
        return Result(
            ok=self._other == 0 and self._same == self._records * sum(2 if c.variant.sample else 1 for c in pairs),
            rows=[row for pair in pairs.values() for row in pair],
            ratios=ratios,
            reached={
                name: ratios[name]["records_per_s"] >= least and ratios[name]["cpu_us_per_record"] <= 1 / least
                for name, least in wanted.items()
            },
            observing=observing(pairs),
            records=self._records,
            repeat=repeat,
            record_bytes=size,
            batch=self.batch,
            identical=self._same,
            different=self._other,
            cores=os.cpu_count() or 1,
            load=round(os.getloadavg()[0], 2),
            note=placed(self._core),
            versions={**versions, "kafka": kafka_version()},
        )


def measure(folder: Path, records: int, *, cases: Sequence[Case] = CASES, repeat: int = 3, pin: bool = True) -> Result:
    """Run the bench on an embedded Kafka in this folder, and stop it.

    Args:
        folder: for all that is made.
        records: how many to score in each run.
        cases: which.
        repeat: runs of each row.
        pin: give the worker a core to itself.

    Raises:
        UserError: something could not be started; nothing is left running.
    """
    parts = ("kafka", "redis") if any(case.kind.lookups for case in cases) else ("kafka",)
    with pinned(wish=pin) as core, Stack(folder / "state", parts=parts, external=Endpoints()) as stack:
        return Bench(Runner(stack), folder, records, core).run(cases, repeat)


def table(result: Result) -> str:
    """The result, for a person."""
    lines = [f"{'':<56}{'records/s':>10}{'CPU us/record':>15}{'peak MB':>9}{'by bare loop':>22}"]
    for row in result.rows:
        found = None if row.name.startswith("bare") else result.ratios[row.name.partition(", ")[2]]
        beside = f"{found['records_per_s']:.2f} rate, {found['cpu_us_per_record']:.2f} CPU" if found else ""
        lines.append(
            f"{row.name:<56}{row.records_per_s:>10,.0f}{row.cpu_us_per_record:>15.2f}{row.rss_mb:>9.0f}{beside:>22}"
        )
    for name, reached in result.reached.items():
        lines.append(f"{name}: {'as wanted' if reached else 'not as wanted'}")
    for name, one in result.observing.items():
        added = f"{one['ours_us']:.2f} us a record to ours, {one['bare_us']:.2f} us to the bare loop"
        lines.append(f"{name}: observing adds {added}: {one['ratio']:.2f}")
    lines.append(f"{result.identical:,} messages are the same bytes in both, {result.different:,} are not")
    lines.append(f"{result.cores} cores, load {result.load:g}, median of {result.repeat}; {result.note}")
    return "\n".join(lines)
