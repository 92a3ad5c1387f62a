"""`tailrace bench observer`: what the observer costs an entry, what its cards and memory weigh, how it comes back."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec

from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.table import TableReader
from shared.core.errors import Unavailable, UserError
from shared.core.topics import topic
from tailrace.bench.ground import Ground, prepare
from tailrace.bench.material import LINEAR, PARTITIONS
from tailrace.bench.observer_feed import HOLD, HORIZON, WINDOW, Feed
from tailrace.bench.pin import on_core, pinned, placed
from tailrace.bench.process import Measured, measure_run
from tailrace.bench.runner import Runner
from tailrace.bench.scorer import LARGEST
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.program import Program
from tailrace.stack.services import Order, observers
from tailrace.stack.stack import Stack, to_stderr

RATE, CARD_BYTES, MEMORY_MB = 60_000.0, 4_000, 1_000.0
"""At least so many entries a second of a core; at most so large a scorecard of 20 features; at most so much memory."""
WIDTH = 200
AGAIN = 40  # records that come before each recovery, so that every partition has something to fold
TIMEOUT = 120.0  # s


class Rebuilt(msgspec.Struct, frozen=True):
    """What an observer logs of one partition that it has come to know again."""

    source: str
    records: int
    seconds: float


class Recovery(msgspec.Struct, frozen=True):
    """One way back: entries that were read again, and the longest time of a partition, in seconds."""

    entries: int
    seconds: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints.

    `per_core`: predictions and labels a second of processor time, all threads of the process counted; `per_s` a second
    of the clock. `card_bytes` is the largest scorecard of 20 features; `memory_mb` the peak of a process with
    `remembered` open predictions of 200 features. `recovery`: from its own disk, from a checkpoint, from the journal.
    """

    ok: bool
    per_core: float
    per_s: float
    cpu_us_per_entry: float
    peak_mb: float
    entries: int
    entry_bytes: int
    card_bytes: int
    memory_mb: float
    remembered: int
    recovery: dict[str, Recovery]
    missed: list[str]
    load: float
    note: str


class Bench:
    """One bench on an open stack.

    Args:
        runner: over the stack, with Kafka up.
        home: folder for what is made.
        records: predictions; nearly as many labels come to them.
        core: where the observer goes; None for anywhere.
    """

    def __init__(self, runner: Runner, home: Path, records: int, core: int | None) -> None:
        self._runner, self._home, self._core = runner, home, core
        self._ground = prepare(runner, home, LINEAR, LARGEST, core)
        self._folder = _pipeline(home, self._ground)
        self._journal = topic(LINEAR.name, "journal")
        self.feed = Feed(runner.conf, self._journal, self._ground.ref.version, records)
        self.feed.send(records)
        to_stderr(f"{self.feed.sent:,} entries of {self.feed.size // self.feed.sent} bytes are there")

    def cost(self) -> Measured:
        """Fold them all with one observer."""
        return self._run(self._program({}), lambda: True)

    def largest_card(self) -> int:
        """Bytes of the largest scorecard that was published."""
        with closing(TableReader(self._runner.conf, topic(LINEAR.name, "scorecards"), TIMEOUT)) as reader:
            return max(len(value) for value in reader.to_end() if b'"type":"scorecard"' in value)

    def recoveries(self) -> dict[str, Recovery]:
        """Start it again: with its disk, then with a checkpoint only, then with neither."""
        state, checkpoints = self._runner.stack.state.path / "observer", self._home / "checkpoints"
        env = {"TAILRACE_MONITOR__CHECKPOINTS": str(checkpoints), "TAILRACE_MONITOR__CHECKPOINT_EVERY": "1"}
        made: dict[str, Recovery] = {}
        for source, lost in (("disk", ()), ("checkpoint", (state,)), ("journal", (state, checkpoints))):
            for folder in lost:
                shutil.rmtree(folder)
            self.feed.send(AGAIN)
            program, known = self._program(env), len(self._rebuilt())
            self._run(program, lambda: self._saved(checkpoints))
            told = [one for one in self._rebuilt()[known:] if one.source == source]
            seconds = max((one.seconds for one in told), default=-1.0)
            made[source] = Recovery(sum(one.records for one in told), seconds)
        return made

    def _saved(self, folder: Path) -> bool:
        """Whether every partition has a checkpoint; further records make the observer look at its clock."""
        done = len(list(folder.glob("*/*/*.checkpoint"))) >= PARTITIONS
        if not done:
            self.feed.send(AGAIN)
        return done

    def _program(self, env: Mapping[str, str]) -> Program:
        stack = self._runner.stack
        (program,) = observers(Order(self._folder, stack.endpoints, stack.state.path, 1, stack.port))
        return on_core(replace(program, env={**program.env, **env}), self._core)

    def _run(self, program: Program, done: Callable[[], bool]) -> Measured:
        """Start it, and stop it once it has committed all entries and is done."""
        supervisor = self._runner.stack.supervisor
        supervisor.start(program)
        try:
            with closing(GroupPositions(self._runner.conf, f"tailrace.{LINEAR.name}.observer", self._journal)) as at:
                seen = measure_run(lambda: supervisor.pid(program.name), lambda: _sum(at), self.feed.sent, TIMEOUT)
                while not done():
                    measure_run(lambda: supervisor.pid(program.name), lambda: _sum(at), self.feed.sent, TIMEOUT)
        finally:
            supervisor.stop([program.name])
        return seen

    def _rebuilt(self) -> list[Rebuilt]:
        log = self._runner.stack.state.logs / f"{self._program({}).name}.log"
        lines = log.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Rebuilt) for line in lines if b'"memory rebuilt"' in line]


def memory(open_: int, folder: Path) -> tuple[float, int]:
    """Peak MB, and ids remembered, of a process that folds so many predictions of 200 features.

    Raises:
        UserError: it failed.
    """
    to_stderr(f"{open_:,} predictions of {WIDTH} features wait for their labels, in a process of its own")
    argv = [sys.executable, "-m", "tailrace.bench.observer_memory", str(open_), str(WIDTH), str(folder)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise UserError("the process that measures memory failed", remedy=done.stderr[-500:])
    peak, kept = done.stdout.split()
    return float(peak), int(kept)


def measure(folder: Path, records: int, open_: int, *, pin: bool = True) -> Result:
    """Run the bench on an embedded Kafka in this folder, and stop it.

    Args:
        folder: for all that is made.
        records: predictions that are folded; nearly as many labels come to them.
        open_: predictions that wait at once, where memory is measured; 0: it is not.
        pin: give the observer a core to itself.

    Raises:
        UserError: something could not be started; nothing is left running.
    """
    with pinned(wish=pin) as core, Stack(folder / "state", parts=("kafka",), external=Endpoints()) as stack:
        bench = Bench(Runner(stack), folder, records, core)
        seen = bench.cost()
        entries, size = bench.feed.sent, bench.feed.size // bench.feed.sent
        card, recovery = bench.largest_card(), bench.recoveries()
    peak, kept = memory(open_, folder / "memory") if open_ else (0.0, 0)
    cpu = seen.cpu / seen.records * 1e6
    missed = [
        words
        for words, fine in (
            (f"{1e6 / cpu:,.0f} entries a second of a core, wanted {RATE:,.0f}", 1e6 / cpu >= RATE),
            (f"a scorecard of {card:,} bytes, wanted under {CARD_BYTES:,}", card < CARD_BYTES),
            (f"{peak:,.0f} MB, wanted under {MEMORY_MB:,.0f}", peak < MEMORY_MB),
            *((f"it did not come back from its {name}", one.seconds >= 0) for name, one in recovery.items()),
        )
        if not fine
    ]
    return Result(
        ok=not missed, per_core=round(1e6 / cpu, 1), per_s=round(seen.records / seen.seconds, 1),
        cpu_us_per_entry=round(cpu, 2), peak_mb=seen.rss_mb, entries=entries, entry_bytes=size, card_bytes=card,
        memory_mb=peak, remembered=kept, recovery=recovery, missed=missed, load=round(os.getloadavg()[0], 2),
        note=placed(core),
    )  # fmt: skip


def table(result: Result) -> str:
    """The result, for a person."""
    lines = [
        f"{result.per_core:>12,.0f}  predictions and labels a second of a core ({result.cpu_us_per_entry:.2f} us each)",
        f"{result.per_s:>12,.0f}  a second of the clock: {result.entries:,} entries of {result.entry_bytes} bytes",
        f"{result.peak_mb:>12,.0f}  MB, the most that it had",
        f"{result.card_bytes:>12,}  bytes, the largest scorecard of 20 features",
    ]
    if result.remembered:
        lines.append(f"{result.memory_mb:>12,.0f}  MB with {result.remembered:,} open predictions of {WIDTH} features")
    for name, one in result.recovery.items():
        lines.append(f"{one.seconds:>12.2f}  s to come back from its {name}, {one.entries:,} entries read again")
    lines += [f"missed: {words}" for words in result.missed]
    return "\n".join([*lines, f"load {result.load:g}; {result.note}"])


def _pipeline(home: Path, ground: Ground) -> Path:
    """The same pipeline, its windows and lives short enough for ids to be forgotten while it is measured."""
    tree = json.loads((home / f"{LINEAR.name}-exactly_once-0" / "pipeline.yaml").read_text(encoding="utf-8"))
    tree["monitoring"] = {"sample": 1.0, "window": WINDOW, "hold": HOLD}
    tree["labels"]["horizon"] = HORIZON
    folder = home / f"{ground.kind.name}-observed"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(json.dumps(tree), encoding="utf-8")
    return folder


def _sum(positions: GroupPositions) -> int:
    """Entries committed: the journal was written without transactions, from offset 0 on."""
    try:
        return sum(offset for offset in positions.committed().values() if offset > 0)
    except Unavailable:  # the group's coordinator is not there yet
        return 0
