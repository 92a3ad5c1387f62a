"""The faults of a monitor's proof: what strikes, in which order, and how long each is felt. A seed decides it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

from shared.runtime.settings import LoopSettings
from tailrace.proof.plan import RANDOM
from tailrace.proof.trail import STEPS

Kind = Literal["kill", "disk", "freeze", "join", "leave", "router", "analyst"]
Planted = Literal["", "drop", "double", "altered"]
PLANTED: tuple[Planted, ...] = ("drop", "double", "altered")
OBSERVERS = 2
DISK_EVERY = 5  # kills of an observer: one of them takes its disk as well
ROUTER_EVERY = 10
LATER_ONE_IN = 5


@dataclass(frozen=True, slots=True)
class Request:
    """What is tried. `planted` is the bug that must be found: a label dropped, one doubled, or a figure altered."""

    records: int = 200_000
    observer_kills: int = 30
    analyst_kills: int = 10
    seed: int = 1
    planted: Planted = ""


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: `after` s of quiet it strikes; a freeze has a `length`, s, a kill perhaps a `step` of the delivery."""

    kind: Kind
    after: float
    length: float = 0.0
    step: str = RANDOM

    @property
    def lasts(self) -> float:
        """From the end of the one before, s."""
        return self.after + self.length


def plan(request: Request, loop: LoopSettings) -> tuple[list[Strike], list[Strike]]:
    """All faults, in order: four in five strike while predictions come, the others while only labels do.

    A third observer joins in the first half of the former, and leaves in the second.

    Two in five kills of observers come exactly at a step of the delivery, each step in turn.

    The pauses are drawn from a second to a little more than a session, so that some kills hit a memory that is just
    being rebuilt, and others one that has settled.
    """
    dice = random.Random(request.seed)  # noqa: S311 - a proof is repeatable
    strikes = list(_strikes(request, loop, dice))
    dice.shuffle(strikes)
    cut = len(strikes) - len(strikes) // LATER_ONE_IN
    first, later = strikes[:cut], strikes[cut:]
    if request.observer_kills:
        half = cut // 2
        first.insert(dice.randint(half, cut), Strike("leave", _pause(loop, dice)))
        first.insert(dice.randint(0, half), Strike("join", _pause(loop, dice)))
    return first, later


def _strikes(request: Request, loop: LoopSettings, dice: random.Random) -> Iterator[Strike]:
    steps = cycle(dice.sample(STEPS, len(STEPS)))
    for i in range(request.observer_kills):
        disk = i % DISK_EVERY == DISK_EVERY - 2
        named = i % 2 and not disk
        yield Strike("disk" if disk else "kill", _pause(loop, dice), step=next(steps) if named else RANDOM)
    for _ in range(request.observer_kills // ROUTER_EVERY):
        yield Strike("router", _pause(loop, dice))
    for _ in range(request.analyst_kills):
        yield Strike("analyst", _pause(loop, dice))
    for _ in range(min(1 + request.observer_kills // 15, request.observer_kills)):
        yield Strike("freeze", _pause(loop, dice), loop.session_timeout + dice.uniform(1.0, 3.0))


def _pause(loop: LoopSettings, dice: random.Random) -> float:
    return dice.uniform(1.0, loop.session_timeout + 2.0)
