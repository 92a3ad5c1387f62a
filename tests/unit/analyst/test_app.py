"""The analyst at work, with a ledger that fails: what it remembers and what it says are one, whatever happens."""

import contextlib
from collections.abc import Sequence
from random import Random

import msgspec
import pytest

from services.monitor.analyst.app import Analyst, Around
from services.monitor.analyst.inbox import Topics
from services.monitor.analyst.ledger import Remembered, packed, unpacked
from services.monitor.analyst.memory import Memory
from services.monitor.analyst.saying import AGAIN, Sayings
from services.monitor.analyst.showing import Showing
from services.monitor.analyst.subjects import Subjects
from shared.core.asks import Ask
from shared.core.bundle import Manifest
from shared.core.errors import Fenced, Indefinite, LogError, ModelRefused, Unavailable
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
from tests.support.looks import DAY, TERMS, account, blocks, days, subject

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
        self.health = Health(self.clock, max_turn_age=90, checks=("assignment", "model"))
        self.table: dict[bytes, bytes] = {}
        self.logs = {name: FakeLog() for name in (CARDS, ERRORS, ASKS)}
        self.start()

    def start(self) -> None:
        """A new process with the same ledger."""
        around = Around(self.health, Showing(self.metrics), self.clock, lambda _: contextlib.nullcontext())
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


def test_a_turn_that_was_not_written_comes_again_with_the_same_id() -> None:
    """The broker fails before anything is written: nothing is lost, and the request has the id that it would have."""
    rig, other = risen(), risen()
    rig.ledger.before = [Indefinite("timed out", transient=True)]
    assert rig.turn() == []
    assert rig.ledger.requests() == []
    rig.turn()
    other.turn()
    assert [one.id for one in rig.ledger.requests()] == [one.id for one in other.ledger.requests()] != []
    assert rig.ledger.opened == 2
    assert rig.metrics.value("tailrace_analyst_turns_total", result="failed") == 1


def test_a_turn_that_was_written_after_all_is_not_repeated() -> None:
    """The commit's answer is lost, the commit is not: the ledger is asked, and the request stands there once."""
    rig = risen()
    rig.ledger.after = [Indefinite("timed out", transient=True)]
    rig.turn()
    rig.turn()
    assert len(rig.ledger.requests()) == 1


def test_a_successor_goes_on_where_the_ledger_ends() -> None:
    """A new process reads on behind the last block that is in the memory; the same request is not made again."""
    rig = risen()
    rig.turn()
    before, read = rig.ledger.kept, rig.logs[ERRORS]
    rig.start()
    read.asked.clear()
    rig.turn()
    assert read.asked == [len(read.entries)]
    assert rig.ledger.kept == before
    assert len(rig.ledger.requests()) == 1


def test_blocks_that_come_while_another_one_takes_over_are_all_folded() -> None:
    """Blocks come after the last turn of one process and before the first of the next: each is folded, and once."""
    found, at_once = [*blocks(0, 14, 0.2, 1), *blocks(14, 20, 0.5, 2)], Rig()
    at_once.cards(20)
    at_once.blocks(found)
    at_once.turn()
    seed = Random().randrange(10_000)
    print(f"seed {seed}")
    dice, rig = Random(seed), Rig()
    rig.cards(20)
    while found:
        rig.blocks([found.pop(0) for _ in range(min(len(found), dice.randrange(1, 40)))])
        if dice.random() < 0.3:
            rig.ledger.after = [Indefinite("timed out", transient=True)]
        if dice.random() < 0.7:
            rig.turn()
        if dice.random() < 0.5:
            rig.start()
    rig.ledger.after = []
    rig.turn()
    watched, wanted = (one.ledger.kept.memory.watches["v1"] for one in (rig, at_once))
    assert watched == wanted


def test_cards_that_the_table_lost_are_read_from_their_topic() -> None:
    """Faust loses what was on its way at a rebalance: figures are those of all cards all the same."""
    rig, other = Rig(), risen()
    other.turn()
    rig.cards(12)
    rig.blocks([*blocks(0, 14, 0.2, 1), *blocks(14, 20, 0.5, 2)])
    rig.turn()
    rig.cards(20, lost=True)
    rig.analyst.begin()
    rig.turn()
    assert rig.accuracies() == other.accuracies()
    assert len(rig.accuracies()) > 0


def test_a_topic_that_cannot_be_read_is_read_at_the_next_turn() -> None:
    """The broker stops answering amid cards, later amid blocks: nothing is lost, and nothing said of a half."""
    rig, other = risen(), risen()
    rig.logs[CARDS].fails = 1
    assert rig.turn() == []
    rig.logs[ERRORS].fails = 1
    assert rig.turn() == []
    assert rig.ledger.blocks == []
    for one in (rig, other):
        one.turn()
    assert rig.ledger.kept == other.ledger.kept
    assert rig.metrics.value("tailrace_analyst_turns_total", result="failed") == 2


def test_who_is_fenced_says_no_more() -> None:
    """Another one has the ledger: the turn raises, and nothing was said."""
    rig = risen()
    rig.ledger.before = [Fenced("fenced")]
    with pytest.raises(Fenced):
        rig.turn()
    assert rig.ledger.blocks == []


def test_half_a_batch_is_not_looked_at() -> None:
    """Cards whose account has not come are as they were: figures are always those of one offset of a partition."""
    rig = Rig()
    rig.cards(2)
    before = dict(rig.table)
    news = [one for one in days(1, 3) if one.partition == 0]
    for one in news:
        card = msgspec.structs.replace(one, offset=one.offset + 1_000)
        assert rig.analyst.keep(scorecard_key(card), msgspec.json.encode(card), rig.table.get(scorecard_key(card)))
        rig.table[scorecard_key(card)] = msgspec.json.encode(card)
        assert rig.analyst.whole(rig.table) == before
    for part in (1, 0):
        told = msgspec.structs.replace(account(2, part), offset=9_000)
        assert rig.analyst.whole(rig.table).items() >= before.items()
        assert rig.analyst.keep(account_key(told), msgspec.json.encode(told), None)
        rig.table[account_key(told)] = msgspec.json.encode(told)
    assert rig.analyst.whole(rig.table) == rig.table != before


def test_without_news_nothing_is_written() -> None:
    """A second turn over the same changes nothing; after a minute all verdicts are said again."""
    rig = risen()
    rig.turn()
    said = len(rig.ledger.of(VERDICTS))
    rig.turn()
    assert len(rig.ledger.of(VERDICTS)) == said
    rig.clock.advance(AGAIN)
    rig.turn()
    assert len(rig.ledger.of(VERDICTS)) > said
    assert len(rig.ledger.requests()) == 1


def test_of_a_key_the_furthest_card_counts() -> None:
    """An older card that is read later, or one that cannot be read, does not replace what is known."""
    rig = Rig()
    rig.cards(3)
    new, old = days(0, 3, known=9)[0], days(0, 3)[0]
    key = scorecard_key(new)
    assert rig.analyst.keep(key, msgspec.json.encode(new), rig.table[key])
    assert not rig.analyst.keep(key, msgspec.json.encode(old), msgspec.json.encode(new))
    assert not rig.analyst.keep(key, b"{", None)
    assert not rig.analyst.keep(key, b'{"type":"scorecard"}', None)
    assert rig.metrics.value("tailrace_analyst_ignored_total", topic="scorecards") == 2


def test_values_that_cannot_be_read_are_left_out() -> None:
    """Garbage on `errors` and `asks` stops nothing, and is counted."""
    rig = risen()
    rig.logs[ERRORS].add(b"\xff")
    rig.logs[ASKS].add(b"[]")
    rig.logs[CARDS].add(b"{", b"k")
    rig.turn()
    assert len(rig.ledger.requests()) == 1
    assert rig.ledger.kept.memory.errors == len(rig.logs[ERRORS].entries) - 1
    assert rig.metrics.value("tailrace_analyst_ignored_total", topic="errors") == 1
    assert rig.metrics.value("tailrace_analyst_ignored_total", topic="scorecards") == 1
    assert rig.metrics.value("tailrace_analyst_ignored_total", topic="asks") == 1


def test_wishes_are_decided_on_one_a_turn_and_once() -> None:
    """Two operators ask: one request now, one after the cool-down, none twice; reasons stand in the requests."""
    rig = Rig()
    rig.cards(3)
    rig.asks(Ask("a0", 1, "first"), Ask("a1", 1, "second"))
    for _ in range(3):
        rig.turn()
    assert [one.block for one in rig.ledger.requests()] == ["a0: first"]
    assert rig.ledger.kept.asks == 1
    rig.start()
    rig.cards(11)
    rig.turn()
    assert [one.block for one in rig.ledger.requests()] == ["a0: first", "a1: second"]


def test_while_nothing_is_in_force_wishes_wait() -> None:
    """Nobody knows the version in force: nothing is decided, and nothing is lost."""
    rig = Rig()
    rig.follower.table = RolloutTable()
    rig.cards(3)
    rig.asks(Ask("a0", 1, "now"))
    rig.turn()
    assert (rig.ledger.requests(), rig.ledger.kept.asks) == ([], -1)
    rig.follower.table = FakeFollower("v1").table
    rig.turn()
    assert [one.trigger for one in rig.ledger.requests()] == ["manual"]


def test_a_registry_that_is_gone_stops_nobody() -> None:
    """The bundle comes later: figures at once, the reason in the readiness, one try a turn and not at each."""
    rig = Rig("v1", "v2")
    rig.registry.missing = dict.fromkeys(("v1", "v2"), Unavailable("no answer"))
    rig.cards(10)
    rig.turn()
    rig.turn()
    assert rig.registry.asked == ["v1", "v2"]
    check = rig.health.checks()["model"]
    assert (check.ok, check.detail) == (True, "goes on without v1: no answer; v2: no answer")
    rig.registry.missing = {"v1": ModelRefused("digest: another one")}
    rig.clock.advance(31)
    for _ in range(3):
        rig.turn()
    assert rig.registry.asked == ["v1", "v2", "v1", "v2"]
    assert rig.health.checks()["model"].detail == ""


def test_models_out_of_reach_leaves_the_version_that_was_known() -> None:
    """`models` cannot be read: the version in force is the last one known."""
    rig = risen()
    rig.turn()
    rig.follower.away = True
    rig.clock.advance(AGAIN)
    rig.turn()
    assert rig.ledger.kept.memory.policy.version == "v1"
    assert "models" in rig.health.checks()["model"].detail


def test_what_is_over_is_named_for_the_table() -> None:
    """Keys of windows that no look needs come back from the turn; event time decides, not the clock on the wall."""
    rig = Rig()
    rig.cards(120)
    gone = rig.turn()
    assert 0 < len(gone) < len(rig.table)
    assert set(gone) <= rig.table.keys()
    ends = {card.window + card.span for card in days(0, 120) if scorecard_key(card) in gone}
    assert max(ends) < rig.ledger.kept.memory.policy.now - TERMS.rolling - DAY


def test_who_waits_shows_no_figures() -> None:
    """Ownership goes: figures are withdrawn, and the process is alive and not ready."""
    rig = risen()
    rig.turn()
    assert rig.metrics.value("tailrace_analyst_active") == 1
    assert rig.metrics.value("tailrace_verdict_level", version="v1", metric="rise_of_errors") == 2
    assert rig.health.ready()
    rig.analyst.wait()
    assert rig.metrics.value("tailrace_analyst_active") == 0
    assert rig.metrics.value("tailrace_verdict_level", version="v1", metric="rise_of_errors") is None
    assert (rig.health.live(), rig.health.ready()) == (True, False)


def test_unknown_figures_are_absent() -> None:
    """No label came: no figure is exported, and none is 0; its finding is counted as unknown."""
    rig = Rig()
    rig.cards(9, labelled=0)
    rig.turn()
    labels = {"version": "v1", "figure": "accuracy", "role": "champion", "bound": "value"}
    assert rig.metrics.value("tailrace_quality", **labels) is None
    assert (rig.metrics.value("tailrace_findings", version="v1", trigger="quality", level="unknown") or 0) > 0


def test_a_memory_survives_its_bytes() -> None:
    """What is stored is what comes back; bytes that are no memory say so."""
    rig = risen()
    rig.turn()
    assert unpacked(packed(rig.ledger.kept)) == rig.ledger.kept != Remembered(Memory())
    for wrong in (b"", b"\x00", packed(Remembered())[:-3]):
        with pytest.raises(ValueError, match=r"."):
            unpacked(wrong)
