"""However cards, accounts and blocks come, in whatever parts, order and repeats: in the end it is the same."""

import random
from typing import TypeVar

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitor.analyst.kept import Kept
from services.monitor.analyst.memory import Memory, Turn, fold_blocks, turn
from shared.core.monitor_records import Account, ErrorBlock, Scorecard, account_key, scorecard_key
from tests.support.looks import DAY, PARTITIONS, T0, TERMS, account, blocks, card, days, numbered, subject

T = TypeVar("T")
SUBJECTS = {"v1": subject(), "v2": subject("v2")}
LAST = 13
CARDS: list[Scorecard] = [
    *(card(day, p, known=known) for day in range(LAST) for p in range(PARTITIONS) for known in (day + 1, LAST)),
    *days(4, 9, version="v2", shadow=True, known=LAST, wrong=0.5),
]
ACCOUNTS: list[Account] = [account(day, p) for day in range(LAST) for p in range(PARTITIONS)]
BLOCKS: list[ErrorBlock] = [
    *blocks(0, 9, 0.2, 1)[::2],
    *blocks(9, LAST, 0.45, 2)[::2],
    *blocks(4, 9, 0.5, 3, version="v2", shadow=True)[::4],
]


def _settled(memory: Memory, cards: list[Scorecard], accounts: list[Account]) -> Turn:
    """The turn after all has come, and once more: what was seen for the first time is old then."""
    once = turn(memory, cards, accounts, "v1", SUBJECTS, TERMS)
    return turn(once.memory, cards, accounts, "v1", SUBJECTS, TERMS)


def _plainly() -> Turn:
    return _settled(fold_blocks(Memory(), numbered(BLOCKS), SUBJECTS, TERMS), CARDS, ACCOUNTS)


PLAINLY = _plainly()


def test_the_stream_is_worth_it() -> None:
    """Both watches are there and errors have risen: the property is not about nothing."""
    assert set(PLAINLY.memory.watches) == {"v1", "v2~shadow"}
    assert PLAINLY.memory.watches["v1"].state.alarms
    assert [(one.version, one.now) for one in PLAINLY.looks] == [("v1", T0 + LAST * DAY), ("v2", T0 + LAST * DAY)]


@given(st.randoms(use_true_random=False), st.integers(1, 6), st.booleans())
@settings(max_examples=15, deadline=None)
def test_parts_order_and_repeats_do_not_matter(chance: random.Random, turns: int, stored: bool) -> None:  # noqa: FBT001 - drawn
    """Shuffled, doubled, split over several turns, stored in between or not: the same watches and looks."""
    cards, accounts, found = _dealt(CARDS, chance), _dealt(ACCOUNTS, chance), _dealt(BLOCKS, chance)
    memory, kept = Memory(), Kept()
    table: dict[bytes, Scorecard] = {}
    books: dict[bytes, Account] = {}
    for i in range(turns):
        for one in cards[i::turns]:
            before = table.get(scorecard_key(one))
            table[scorecard_key(one)] = one if before is None or one.offset >= before.offset else before
        books |= {account_key(one): one for one in accounts[i::turns]}
        memory = fold_blocks(memory, numbered(found[i::turns], memory.errors + 1), SUBJECTS, TERMS)
        memory = turn(memory, table.values(), books.values(), "v1", SUBJECTS, TERMS, kept=kept).memory
        if stored:
            memory = msgspec.json.decode(msgspec.json.encode(memory), type=Memory)
    done = _settled(memory, list(table.values()), list(books.values()))
    assert done.memory.watches == PLAINLY.memory.watches
    assert done.looks == PLAINLY.looks


def _dealt(things: list[T], chance: random.Random) -> list[T]:
    """All of them and some twice, in another order."""
    more = [*things, *chance.sample(things, len(things) // 3)]
    chance.shuffle(more)
    return more
