"""An analyst with everything around it in memory: its ledger, `models`, bundles and topics."""

import contextlib
from collections.abc import Sequence

import msgspec

from services.monitor.analyst.app import Analyst, Around
from services.monitor.analyst.inbox import Topics
from services.monitor.analyst.ledger import Remembered, packed, unpacked
from services.monitor.analyst.saying import Sayings
from services.monitor.analyst.showing import Showing
from services.monitor.analyst.subjects import Subjects
from shared.core.asks import Ask
from shared.core.bundle import Manifest
from shared.core.errors import LogError, Unavailable
from shared.core.monitor_records import (
    Account,
    ErrorBlock,
    RetrainRequest,
    Scorecard,
    Verdict,
    WindowFigures,
    account_key,
    scorecard_key,
)
from shared.core.ports import Block
from shared.core.records import BundleRef, Rollout
from shared.core.reference import Reference
from shared.core.rollout import RolloutTable
from shared.runtime.health import Health
from shared.testing.clock import ManualClock
from shared.testing.metrics import RecordingMetrics
from tests.support.fake_log import FakeLog
from tests.support.looks import TERMS, account, blocks, days, subject

CARDS, ERRORS, ASKS, VERDICTS, RETRAIN = "p.scorecards", "p.errors", "p.asks", "p.verdicts", "p.retrain"


class FakeLedger:
    """Keeps what is written; fails as it is told to, before or after it was written."""

    def __init__(self) -> None:
        self.kept, self.blocks = Remembered(), list[Block]()
        self.opened = 0
        self.before: list[LogError] = []
        self.after: list[LogError] = []

    def open(self) -> Remembered:
        """What was written last."""
        self.opened += 1
        return self.kept

    def write(self, kept: Remembered, blocks: Sequence[Block]) -> None:
        """Keep it, as bytes would."""
        if self.before:
            raise self.before.pop()
        self.kept = unpacked(packed(kept))
        self.blocks.extend(blocks)
        if self.after:
            raise self.after.pop()

    def of(self, topic: str) -> list[bytes]:
        """What was said on a topic."""
        return [value or b"" for block in self.blocks if block.topic == topic for value in block.values]

    def requests(self) -> list[RetrainRequest]:
        """All that was asked for."""
        return [msgspec.json.decode(value, type=RetrainRequest) for value in self.of(RETRAIN)]


class FakeFollower:
    """`models`, with what is put into it; out of reach while it is told so."""

    def __init__(self, *versions: str) -> None:
        refs = enumerate((BundleRef(one, f"http://r/{one}", "0" * 64) for one in versions), 1)
        self.table = RolloutTable(Rollout("p", epoch, ref, "active") for epoch, ref in refs)
        self.away = False

    def refresh(self, to_end: bool = False) -> RolloutTable:  # noqa: FBT001,FBT002 - as the port has it
        """Nothing new, or no answer."""
        del to_end
        if self.away:
            raise Unavailable("kafka: gone")
        return self.table


class Registry:
    """Bundles; `missing` maps a version to what asking for it raises."""

    def __init__(self) -> None:
        self.missing: dict[str, Exception] = {}
        self.asked: list[str] = []

    def __call__(self, ref: BundleRef) -> tuple[Manifest, Reference]:
        """A bundle's content."""
        self.asked.append(ref.version)
        if ref.version in self.missing:
            raise self.missing[ref.version]
        reference = subject(ref.version).reference
        assert reference is not None
        manifest = Manifest("p", ref.version, "binary", (), (), "onnx", {}, 0.5, 0, 0, 0, 0, metrics={"accuracy": 0.8})
        return manifest, reference


class Rig:
    """An analyst with everything around it."""

    def __init__(self, *versions: str) -> None:
        self.clock, self.ledger, self.metrics = ManualClock(), FakeLedger(), RecordingMetrics()
        self.follower, self.registry = FakeFollower(*(versions or ("v1",))), Registry()
        self.look = 0  # ms of event time between two looks
        self.health = Health(self.clock, max_turn_age=90, checks=("assignment", "model"))
        self.table: dict[bytes, bytes] = {}
        self.logs = {name: FakeLog() for name in (CARDS, ERRORS, ASKS)}
        self.start()

    def start(self) -> None:
        """A new process with the same ledger."""
        around = Around(self.health, Showing(self.metrics), self.clock, lambda _: contextlib.nullcontext(), self.look)
        subjects = Subjects(self.follower, self.registry, self.clock)
        sayings = Sayings(VERDICTS, RETRAIN, self.clock)
        topics = Topics(CARDS, ERRORS, ASKS)
        self.analyst = Analyst(TERMS, topics, self.logs.__getitem__, self.ledger, subjects, sayings, around)
        self.analyst.begin()

    def cards(self, until: int, *, lost: bool = False, **more: object) -> None:
        """Cards and accounts of days on their topic and, unless they are lost, as Faust puts them into the table."""
        found: list[Scorecard | Account] = [*days(0, until, **more)]
        found += (account(day, part) for day in range(until) for part in (0, 1))
        for one in found:
            key = account_key(one) if isinstance(one, Account) else scorecard_key(one)
            value = msgspec.json.encode(one)
            self.logs[CARDS].add(value, key)
            if not lost and self.analyst.keep(key, value, self.table.get(key)):
                self.table[key] = value

    def blocks(self, found: Sequence[ErrorBlock]) -> None:
        """Error blocks, one offset after the other."""
        for one in found:
            self.logs[ERRORS].add(msgspec.json.encode(one))

    def asks(self, *found: Ask) -> None:
        """Operators' wishes."""
        for one in found:
            self.logs[ASKS].add(msgspec.json.encode(one))

    def accuracies(self) -> list[float | None]:
        """What was said last of the accuracy."""
        found = (msgspec.json.decode(value, type=Verdict | WindowFigures) for value in self.ledger.of(VERDICTS))
        return [one.value for one in found if isinstance(one, Verdict) and one.metric == "accuracy"][-1:]

    def turn(self) -> list[bytes]:
        """One turn."""
        return self.analyst.turn(self.analyst.whole(self.table), 0)


def risen() -> Rig:
    """Twenty days; in the last six half of the labels are wrong."""
    rig = Rig()
    rig.cards(20)
    rig.blocks([*blocks(0, 14, 0.2, 1), *blocks(14, 20, 0.5, 2)])
    return rig
