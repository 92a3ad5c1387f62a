"""Finding one observation in a journal where labels, ticks, shadows and markers stand between."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from shared.core.errors import Unavailable, UserError
from shared.core.monitor_records import LabelEntry, Tick
from shared.core.partitioning import partition_of
from shared.core.ports import Message
from shared.core.privacy import Redactor
from shared.core.records import Label, Observation, Prediction
from shared.testing.clock import ManualClock
from shared.testing.log import Log
from tailrace.why import around as around_module
from tailrace.why.around import around
from tailrace.why.asked import Locator, Scan, asked
from tailrace.why.locate import BLOCK, WINDOW, at_locator, newest
from tailrace.why.terms import Place, Truth
from tests.support.spec import make_spec

SEED, SECRET = 20_261_122, b"0123456789abcdef"


def observation(
    at: tuple[int, int], name: str = "", *, key: str = "k", shadow: bool = False, score: float = 0.5
) -> bytes:
    """An observation of the record at `at`."""
    made = Prediction(1, name or f"id-{at[1]}", key, at, 5, score, "late", "2" if shadow else "1", "d" * 16, 1)
    return msgspec.json.encode(Observation(1, made, msgspec.Raw(b"{}"), {}, "d" * 64, 6, shadow))


def label(name: str, revision: int = 0, value: str = "late", at: int = 0) -> bytes:
    """A label as the router writes it."""
    return msgspec.json.encode(LabelEntry(Label(name, value, 9, revision=revision), (0, at), 9))


@dataclass(slots=True)
class Journal:
    """A journal in memory. Implements `Blocks`, and counts what is read."""

    log: Log = field(default_factory=lambda: Log({"journal": 3}, ManualClock()))
    looks: int = 0

    def add(self, partition: int, value: bytes | None, key: str = "k") -> int:
        """Append an entry; its offset."""
        return self.log.append("journal", partition, key.encode(), value)

    def marks(self) -> dict[int, tuple[int, int]]:
        """See `Blocks`."""
        return {p: (0, self.log.size("journal", p)) for p in range(3)}

    def block(self, partition: int, start: int, end: int) -> Sequence[Message]:
        """See `Blocks`."""
        self.looks += 1
        return [m for m in self.log.fetch("journal", partition, start, end - start) if m.offset() < end]


def filled(dice: random.Random, n: int = 12_000) -> tuple[Journal, dict[int, int]]:
    """Partition 1 with n entries: nearly all observations in the order of records, some of which are not observed."""
    journal, where, offset = Journal(), dict[int, int](), 100
    for _ in range(n):
        draw = dice.random()
        if draw < 0.7:
            where[offset] = journal.add(1, observation((1, offset)))
        elif draw < 0.8:
            journal.add(1, label(f"id-{offset - 50}"))
        elif draw < 0.9:
            journal.add(1, observation((1, max(offset - 300, 0)), shadow=True))
        elif draw < 0.95:
            journal.add(1, msgspec.json.encode(Tick(5)))
        else:
            journal.add(1, dice.choice([b"garbage", b"[]", b"", None, b'{"type":"observation"}']))
        offset += dice.choice([1, 1, 1, 2])
    return journal, where


def test_a_locator_is_found_in_a_few_looks() -> None:
    """Every record that was observed is found by halving, and of one that was not, nothing is."""
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    journal, where = filled(dice)
    bounds = journal.marks()[1]
    for offset in dice.sample(range(90, max(where) + 20), 300):
        journal.looks = 0
        found = at_locator(journal, 1, offset, bounds)
        assert (None if offset not in where else Place(1, where[offset])) == found
        assert journal.looks <= 16


def test_a_stretch_without_observations_is_passed_over() -> None:
    """Many labels at once, as a replay of them leaves: what stands before and behind them is found."""
    journal = Journal()
    first = journal.add(0, observation((0, 1)))
    for i in range(4 * WINDOW):
        journal.add(0, label(f"id-{i}"))
    last = journal.add(0, observation((0, 2)))
    found = [at_locator(journal, 0, offset, journal.marks()[0]) for offset in (0, 1, 2, 3)]
    assert [None, Place(0, first), Place(0, last), None] == found
    assert at_locator(journal, 2, 5, (0, 0)) is None


def scan(which: str = "", key: str = "", secret: bytes = b"", **changes: Any) -> Scan:
    """What is to be looked for."""
    found = asked(which, key, make_spec(**changes), secret)
    assert isinstance(found, Scan)
    return found


def test_the_newest_answer_of_a_key_is_found_in_its_partition_alone() -> None:
    """From the end backwards; labels and shadows of the key do not count, nor does another key's answer."""
    journal = Journal()
    journal.add(1, observation((1, 1), key="k"), "k")
    wanted = journal.add(1, observation((1, 2), key="k"), "k")
    journal.add(1, observation((1, 3), key="other"), "other")
    journal.add(1, label("id-2"), "k")
    journal.add(1, observation((1, 2), key="k", shadow=True), "k")
    found = scan(key="k")
    assert partition_of(b"k", make_spec().partitions) == found.partition
    said: list[str] = []
    assert Place(1, wanted) == newest(journal, {1: journal.marks()[1]}, found.wanted, said.append)
    assert newest(journal, {1: journal.marks()[1]}, scan(key="nobody").wanted, said.append) is None


def test_an_id_is_looked_for_everywhere_and_its_words_alone_do_not_count() -> None:
    """Another record that names the id is not it; one with signs that JSON escapes is found."""
    journal, odd = Journal(), 'a"b\\ü'
    for partition in range(3):
        for i in range(50):
            journal.add(partition, observation((partition, i), f"x{partition}-{i}"))
    journal.add(0, observation((0, 51), "x2-7-and-more"))
    wanted = journal.add(2, observation((2, 52), odd))
    assert Place(2, wanted) == newest(journal, journal.marks(), scan(odd).wanted, print)
    assert Place(2, 7) == newest(journal, journal.marks(), scan("x2-7").wanted, print)
    assert newest(journal, journal.marks(), scan("x9").wanted, print) is None


def test_a_long_search_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it ends by itself at the start of the log."""
    journal = Journal()
    for i in range(50):
        journal.add(0, observation((0, i)))
    monkeypatch.setattr("tailrace.why.locate.BLOCK", 20)
    monkeypatch.setattr("tailrace.why.locate._EACH", -1.0)
    said: list[str] = []
    assert newest(journal, journal.marks(), scan("nobody").wanted, said.append) is None
    assert [f"looked at {n} of 50 entries of the journal" for n in (20, 40, 50)] == said
    assert BLOCK > 20


def test_a_personal_key_and_id_are_found_by_name_or_pseudonym() -> None:
    """With the key of the hash by name; without it by pseudonym, in every partition, for it tells none."""
    personal: dict[str, Any] = {"privacy": {"hash": ["id", "depot"]}, "lookups": {}, "features": [{"name": "weight"}]}
    hidden = Redactor(make_spec(**personal).privacy, make_spec().record, SECRET).pseudonym
    journal = Journal()
    wanted = journal.add(1, observation((1, 2), hidden("r1"), key=hidden("north")), hidden("north"))
    for secret, name in ((SECRET, "north"), (SECRET, hidden("north")), (b"", hidden("north"))):
        found = scan(key=name, secret=secret, **personal)
        assert Place(1, wanted) == newest(journal, journal.marks(), found.wanted, print)
    assert scan(key=hidden("north"), **personal).partition is None
    for secret, name in ((SECRET, "r1"), (b"", hidden("r1"))):
        found = scan(name, secret=secret, **personal)
        assert Place(1, wanted) == newest(journal, journal.marks(), found.wanted, print)


@pytest.mark.parametrize("text", ["2@1041", "[2]@1041", "records[2]@1041", "parcels.records[2]@1041"])
def test_locators_are_understood_as_they_are_printed_elsewhere(text: str) -> None:
    """Short, or with the topic."""
    assert Locator(2, 1041) == asked(text, "", make_spec(), b"")


@pytest.mark.parametrize(("which", "key"), [("", ""), ("1@2", "k"), ("parcels.journal[1]@2", ""), ("labels[1]@2", "")])
def test_what_cannot_be_meant_is_refused(which: str, key: str) -> None:
    """Nothing, both, or a position in another topic: one line with a remedy."""
    with pytest.raises(UserError):
        asked(which, key, make_spec(), b"")


def test_the_label_in_force_and_shadows_are_told_with_an_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The highest revision counts, of equal ones the first; a label may come before its record; others do not count."""
    monkeypatch.setattr(around_module, "BLOCK", 3)
    journal = Journal()
    journal.add(0, label("r", at=1))
    place = Place(0, journal.add(0, observation((0, 5), "r")))
    for value in (
        *(label("other", 9), label("r", 2, "on_time", 7), label("r", 2, "late", 8), label("r", 1)),
        *(observation((0, 5), "r", shadow=True, score=0.7), observation((0, 6), "r2"), b"garbage"),
        observation((0, 5), "r"),
    ):
        journal.add(0, value)
    found = around(journal, place, journal.marks()[0], print)
    assert Truth("on_time", 9, 2, (0, 7), 2) == found.label
    assert ([0.7], 1) == ([one.prediction.score for one in found.shadows], found.again)
    alone = around(journal, Place(0, 7), (7, 8), print)
    assert (None, (), 0) == (alone.label, alone.shadows, alone.again)


def test_an_observation_that_retention_took_meanwhile_is_told() -> None:
    """Not as a crash."""
    journal = Journal()
    journal.add(0, label("r"))
    with pytest.raises(Unavailable, match="not there any more"):
        around(journal, Place(0, 0), (0, 1), print)
