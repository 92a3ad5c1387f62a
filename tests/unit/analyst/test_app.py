"""The analyst at work, with a ledger that fails: what it remembers and what it says are one, whatever happens."""

import msgspec
import pytest

from services.monitor.analyst.ledger import Remembered, packed, unpacked
from services.monitor.analyst.memory import Memory
from services.monitor.analyst.saying import AGAIN
from shared.core.asks import Ask
from shared.core.errors import Fenced, Indefinite, ModelRefused, Unavailable
from shared.core.monitor_records import account_key, scorecard_key
from shared.core.rollout import RolloutTable
from tests.support.analyst_rig import ASKS, CARDS, ERRORS, VERDICTS, FakeFollower, Rig, risen
from tests.support.looks import DAY, TERMS, account, days


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
