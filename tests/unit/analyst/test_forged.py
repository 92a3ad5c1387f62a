"""Cards, accounts and blocks that no observer makes: none of them stops the analyst, or makes its memory unreadable."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitor.analyst.memory import Memory, fold_blocks, turn
from shared.core.monitor_records import AccountSums, ErrorBlock, FeatureCounts, Scorecard, Sums
from tests.support.looks import PARTITIONS, TERMS, WRONG, account, blocks, card, days, numbered, subject

SUBJECTS = {"v1": subject()}
GOOD = [*days(0, 12)]
WILD = (-1, 0, 1, 10**6, -(10**15), 10**15)
replace = msgspec.structs.replace


def _number(chance: random.Random, was: int) -> int:
    return chance.choice((*WILD, was + 1, was - 1))


def _spoilt(was: object, chance: random.Random) -> object:
    """A value of the same type, and seldom of the same sense."""
    if isinstance(was, bool):
        return not was
    if isinstance(was, int):
        return _number(chance, was)
    if isinstance(was, tuple):
        kinds = (
            (), was[:1], was[:-1], (*was, *was, 7), tuple(-one for one in was), tuple(one * 2 for one in was), (9,) * 80
        )  # fmt: skip
        return chance.choice(kinds)
    if isinstance(was, FeatureCounts):
        name = chance.choice(FeatureCounts.__struct_fields__)
        return replace(was, **{name: _spoilt(getattr(was, name), chance)})
    if isinstance(was, dict):
        return {"temp": FeatureCounts((1, -5)), "other": FeatureCounts((5,) * 10, 3, 10**9), "": FeatureCounts()}
    return was


def _spoilt_card(good: Scorecard, chance: random.Random) -> Scorecard:
    plain = [name for name in Sums.__struct_fields__ if name not in ("groups", "slices", "pairs", "flags")]
    spoilt = {name: _spoilt(getattr(good.sums, name), chance) for name in chance.sample(plain, chance.randint(1, 4))}
    return replace(good, sums=replace(good.sums, **spoilt), closed=chance.random() < 0.5)


@given(st.randoms(use_true_random=False), st.sampled_from(("binary", "multiclass", "regression")))
@settings(max_examples=40, deadline=None)
def test_forged_cards_stop_nothing(chance: random.Random, task: str) -> None:
    """Many cards have places, signs or sums that cannot be: a turn still ends, and its memory can be read."""
    terms = replace(TERMS, task=task, classes={"binary": 2, "multiclass": 3}.get(task, 0), goal={"accuracy": 0.9})
    cards = [_spoilt_card(one, chance) if chance.random() < 0.3 else one for one in GOOD[:-1]]
    cards.append(GOOD[-1])
    if task == "regression":
        cards = [replace(one, sums=replace(one.sums, confusion=())) for one in cards]
    done = turn(Memory(), cards, [account(day) for day in range(12)], "v1", SUBJECTS, terms)
    assert done.looks
    assert msgspec.json.decode(msgspec.json.encode(done.memory), type=Memory) == done.memory


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"n": 10**9}, {"errors": -1}, {"errors": 26}, {"loss": -5}, {"n": 24, "errors": 0}]
)
def test_forged_blocks_are_left_out(wrong: dict[str, int]) -> None:
    """A block of none, of a billion, or with more errors than labels: the watch is as without it."""
    good = blocks(0, 2, WRONG, 1)
    forged = ErrorBlock(**(msgspec.structs.asdict(good[5]) | {"number": 10**9} | wrong))
    usual = fold_blocks(Memory(), numbered(good), SUBJECTS, TERMS)
    spoilt = fold_blocks(Memory(), numbered([*good[:9], forged, *good[9:]]), SUBJECTS, TERMS)
    assert spoilt.watches == usual.watches
    assert spoilt.errors == usual.errors + 1


def test_forged_accounts_stop_nothing() -> None:
    """Sums that cannot add up, or are below 0: the turn ends, and says nothing of its own about quality."""
    sums = AccountSums(observations=-5, labels=10**12, conflicting=10**15, invalid=-1, expired=7)
    accounts = [replace(account(day, p), sums=sums) for day in range(12) for p in range(PARTITIONS)]
    done = turn(Memory(), GOOD, accounts, "v1", SUBJECTS, TERMS)
    assert done.looks[0].quality == turn(Memory(), GOOD, [], "v1", SUBJECTS, TERMS).looks[0].quality


def test_a_window_off_its_grid_is_left_out() -> None:
    """A window begins at a multiple of its length; a card of any other is nobody's."""
    off = card(5, window=card(5).window + 1)
    assert turn(Memory(), [*GOOD, off], [], "v1", SUBJECTS, TERMS) == turn(Memory(), GOOD, [], "v1", SUBJECTS, TERMS)
