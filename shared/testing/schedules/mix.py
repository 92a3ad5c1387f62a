"""What kind of trouble one schedule has: each seed has its own share of each, and lacks some kinds altogether.

A run in which everything happens all the time hides what needs one thing often and another never.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from shared.core.pipeline import DeadLetterLimit

T = TypeVar("T")
# Trouble between and within turns: the name of a method of `Trouble`, and its weight where a schedule has it.
ACTIONS = (
    ("send", 4), ("barrier", 3), ("roll", 2), ("revoke", 1), ("late", 2), ("kill", 1), ("expel", 1), ("stall", 1),
    ("wake", 1), ("rejoin", 2), ("hear", 1), ("scramble", 1), ("start", 2), ("leave", 1), ("twin", 1), ("arrive", 3),
    ("forget", 1), ("witness", 1),
)  # fmt: skip
ALWAYS = ("send", "barrier", "roll", "start", "wake", "arrive", "witness")
# Calls that the broker may answer badly: all of them now and then, or one of them often.
ANSWERED = ("", "", "", "commit", "commit", "commit", "send_offsets", "flush", "renew", "abort", "rewind")


class Dice:
    """Seeded chance; the same seed gives the same draws on every Python."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - dice of a simulation are seeded, not secret
        self.draw = self.random.random

    def below(self, n: int) -> int:
        """0 to n - 1."""
        return int(self.draw() * n)

    def one(self, choices: Sequence[T]) -> T:
        """One of these."""
        return choices[int(self.draw() * len(choices))]

    def chance(self, share: float) -> bool:
        """True in this share of all cases."""
        return self.draw() < share


@dataclass(frozen=True, slots=True)
class Mix:
    """The conditions of one schedule. Chances are those of one step of the loop, `answer` of one call.

    `answered` is the call that is answered badly, empty for all; `revive` the chance, each time that one is picked,
    that something is done for a worker that stands still or is not there; `lag` the chance that nothing of `models` has
    arrived at a worker that looks; `ahead`: workers go on while a delivery is under way.
    """

    exactly_once: bool
    local: bool
    partitions: int
    slots: int
    max_batch: int
    limit: DeadLetterLimit
    kinds: Sequence[str]
    park: float
    crash: float
    stall: float
    act: float
    answer: float
    answered: str
    revive: float
    lag: float
    ahead: bool
    actions: Sequence[str]


def conditions(mix: Mix) -> str:
    """The conditions in words, for the first line of a trace."""
    how = ("exactly once" if mix.exactly_once else "at least once") + (", going ahead" if mix.ahead else "")
    often = f"{mix.answered} is answered badly" if mix.answered else f"answers are bad in {mix.answer:.0%} of calls"
    return (
        f"{how}, {mix.slots} workers, {mix.partitions} partitions, batches of at most {mix.max_batch}, "
        f"stopped after {mix.limit.in_a_row} dead letters in a row, {'local, ' if mix.local else ''}{often}"
    )


def mixed(dice: Dice) -> Mix:
    """The conditions of the schedule that these dice belong to."""
    chosen = [(name, weight) for name, weight in ACTIONS if name in ALWAYS or dice.chance(0.6)]
    answered = dice.one(ANSWERED)
    kinds = ["good"] * 6 + [kind for kind in ("bad", "poison", "forged", "cursed", "old") if dice.chance(0.5)]
    return Mix(
        exactly_once=not dice.chance(0.15),
        local=dice.chance(0.08),
        partitions=dice.one((1, 1, 2, 3)),
        slots=dice.one((1, 2, 2, 2, 3)),
        max_batch=dice.one((1, 2, 3, 8, 50)),
        limit=dice.one((DeadLetterLimit(), DeadLetterLimit(), DeadLetterLimit(in_a_row=2))),
        kinds=kinds,
        park=dice.one((0.05, 0.15, 0.4)),
        crash=dice.one((0.0, 0.01, 0.04)),
        stall=dice.one((0.0, 0.03, 0.08)),
        act=dice.one((0.05, 0.1, 0.2)),
        answer=dice.one((0.0, 0.05, 0.15)) if not answered else 0.5,
        answered=answered,
        revive=dice.one((0.05, 0.15, 0.4)),
        lag=dice.one((0.0, 0.5, 0.95)),
        ahead=dice.chance(0.6),
        actions=[name for name, weight in chosen for _ in range(weight)],
    )
