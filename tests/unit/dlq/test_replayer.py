"""A replay in a log in memory: each letter once, whatever ends it at whichever step."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from services.ingest.dlq import replayer
from services.ingest.dlq.replayer import Chooser, Route, Sender, chunks, line_of
from shared.core.deadletter import dead_letters
from shared.core.dlq import Ledger, Letter, Selection, read_letter
from shared.core.errors import Fenced
from shared.core.ports import Reject
from shared.core.records import Position
from shared.testing.clock import ManualClock
from shared.testing.log import Log, MemoryMessage
from shared.testing.sink import MemorySink

LETTERS, RECORDS, LEDGER, ID = "p.records.dlq", "p.records", "p.dlq.replayed", "tailrace.p.dlq.records"
STEPS = ("begun", "half", "produced", "flushed", "committed")
REASONS = ("not_json", "poison", "out_of_range")


class Killed(BaseException):
    """The process is gone: no code of its own runs any more."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small transactions, so that a replay has several."""
    monkeypatch.setattr(replayer, "CHUNK", 4)


def log_with(n: int) -> Log:
    """A log with n letters in two partitions, of three reasons."""
    log = Log({LETTERS: 2, RECORDS: 2, LEDGER: 1}, ManualClock())
    for i in range(n):
        message = MemoryMessage(Position(RECORDS, i % 2, 100 + i), b"k%d" % i, b"body %d" % i)
        block = dead_letters(LETTERS, RECORDS, [Reject(message, REASONS[i % 3])])
        log.append(LETTERS, i % 2, block.keys[0], block.values[0], (block.headers or [None])[0])
    return log


def letters_of(log: Log) -> list[Letter]:
    """All letters, by partition and offset."""
    return [read_letter(LETTERS, m) for m in log.read(LETTERS)]


def ledger_of(log: Log) -> Ledger:
    """What was replayed."""
    ledger = Ledger()
    for message in log.read(LEDGER):
        ledger.put(message.value() or b"")
    return ledger


def route(log: Log) -> Route:
    """Where letters go."""
    return Route("p", LETTERS, RECORDS, log.topics[RECORDS], LEDGER)


def run(
    log: Log, selection: Selection | None = None, limit: int = 0, mark: Callable[[str], None] = lambda _: None
) -> int:
    """One replay, in the order in which `replay_letters` does things; gives how many it sent."""
    sink = MemorySink(log, ID)
    chooser = Chooser(selection or Selection(), ledger_of(log), limit)
    sender = Sender(sink, route(log), mark)
    sender.send(chooser.choose(letters_of(log)))
    sink.close()
    return sender.sent


def kill(step: str, delivery: int) -> Callable[[str], None]:
    """Ends the process at a step of the n-th delivery."""
    passed: list[str] = []

    def mark(name: str) -> None:
        passed.append(name)
        if name == step and passed.count(step) == delivery:
            raise Killed

    return mark


def values(log: Log) -> "Counter[bytes | None]":
    """How often each body stands among the records."""
    return Counter(m.value() for m in log.read(RECORDS))


@pytest.mark.parametrize("delivery", [1, 2, 3])
@pytest.mark.parametrize("step", STEPS)
def test_a_replay_killed_anywhere_is_completed_by_the_next(step: str, delivery: int) -> None:
    """Before the commit nothing of the transaction counts, after it all of it: each letter once in the end."""
    log = log_with(11)
    with pytest.raises(Killed):
        run(log, mark=kill(step, delivery))
    before = min(11, 4 * (delivery if step == "committed" else delivery - 1))
    assert run(log) == 11 - before
    assert values(log) == Counter(b"body %d" % i for i in range(11))
    assert run(log) == 0


@pytest.mark.parametrize("seed", range(50))
def test_any_sequence_of_replays_sends_each_letter_once(seed: int) -> None:
    """Filters, limits, positions and kills in any order, then one replay of all: each letter once."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    log = log_with(30)
    for _ in range(12):
        chosen = Selection(
            reasons=frozenset(dice.sample(REASONS, dice.randrange(3))),
            positions=frozenset(m.position for m in dice.sample(log.read(LETTERS), dice.choice([0, 0, 5]))),
        )
        mark = kill(dice.choice(STEPS), dice.randrange(1, 4)) if dice.random() < 0.6 else lambda _: None
        try:
            run(log, chosen, dice.choice([0, 0, 3]), mark)
        except Killed:
            assert max(values(log).values(), default=0) <= 1
    run(log)
    assert values(log) == Counter(b"body %d" % i for i in range(30))
    for partition in range(2):
        sources = [dict(m.headers() or [])["tailrace-source"] for m in log.fetch(RECORDS, partition, 0, 99)]
        assert all(f"[{partition}]@".encode() in (source or b"") for source in sources)


def test_a_later_replay_fences_the_earlier_one() -> None:
    """The one that began first cannot commit any more; what it had committed is not sent again."""
    log = log_with(11)
    sent: list[int] = []

    def overtake(name: str) -> None:
        if name == "flushed" and len(log.read(LEDGER)) == 4 and not sent:
            sent.append(run(log))

    with pytest.raises(Fenced):
        run(log, mark=overtake)
    assert sent == [7]
    assert values(log) == Counter(b"body %d" % i for i in range(11))


def test_order_in_a_partition_is_that_of_the_letters() -> None:
    """Records of one key come back in the order in which they died."""
    log = log_with(20)
    run(log)
    for partition in range(2):
        assert [m.value() for m in log.fetch(LETTERS, partition, 0, 99)] == [
            m.value() for m in log.fetch(RECORDS, partition, 0, 99)
        ]


def test_a_partition_that_is_gone_leaves_the_choice_to_the_key() -> None:
    """After a topic was made anew with fewer partitions its records still have a place."""
    log = log_with(6)
    sink = MemorySink(log, ID)
    Sender(sink, Route("p", LETTERS, RECORDS, 1, LEDGER)).send(letters_of(log))
    assert sum(values(log).values()) == 6


def test_a_limit_counts_what_is_sent_and_ends_the_reading() -> None:
    """The limit is of letters that go out, not of letters looked at."""
    log = log_with(11)
    assert run(log, limit=5) == 5
    chooser = Chooser(Selection(), ledger_of(log), 2)
    assert len(list(chooser.choose(letters_of(log)))) == 2
    report = chooser.report(route(log))
    assert (report.sent, report.skipped, report.refused) == (2, {"already": 5}, 0)


def test_chunks_are_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction takes more than it can send within its time-out; a letter above the bound goes alone."""
    letters = letters_of(log_with(11))
    assert [len(chunk) for chunk in chunks(letters)] == [4, 4, 3]
    monkeypatch.setattr(replayer, "CHUNK_BYTES", 15)
    assert [len(chunk) for chunk in chunks(letters)] == [2] * 5 + [1]
    monkeypatch.setattr(replayer, "CHUNK_BYTES", 1)
    assert [len(chunk) for chunk in chunks(letters)] == [1] * 11
    assert list(chunks([])) == []


def test_a_dry_run_names_what_would_be_sent() -> None:
    """Letter, source, reason, the try that it would be, and its size."""
    line = line_of(letters_of(log_with(1))[0])
    assert (line.letter, line.source, line.reason) == (f"{LETTERS}[0]@0", f"{RECORDS}[0]@100", "not_json")
    assert (line.attempt, line.bytes) == (2, 6)
