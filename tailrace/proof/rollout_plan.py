"""What `tailrace verify rollout` does and in which order: a function of the request and its seed alone."""

import random
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Literal, NamedTuple

import msgspec

from shared.runtime.settings import LoopSettings
from tailrace.proof.plan import RANDOM, Fault
from tailrace.proof.trail import STEPS

BY = ("once", "cut", "twins")
"""How a rollout is brought about: by one controller, by one that dies between two barriers, by two at once."""
NOISE = ("stale", "forged")
"""Barriers that must change nothing: of an epoch long past, of an epoch that `models` does not have."""
SHARES = (0.05, 0.25, 0.5)
_LASTS = 2.5  # s for a rollout to settle, and to score by


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to try, and how often. `rate` is in records/s; `calm` rollouts come first, without any fault."""

    rollouts: int
    rate: int
    calm: int
    kills: int
    freezes: int
    moves: int
    workers: int
    seed: int


class Move(NamedTuple):
    """One rollout: which version gets which share of keys beside which champion. A champion alone has share 1."""

    mode: Literal["champion", "canary"]
    version: str
    share: float = 1.0


def moves(versions: tuple[str, str], n: int, seed: int) -> list[Move]:
    """Swaps, and canaries of one or two steps that end with their version in force everywhere."""
    dice, old, new = random.Random(seed), *versions  # noqa: S311 - a proof is repeatable
    made: list[Move] = []
    while len(made) < n:
        steps = sorted(dice.sample(SHARES, dice.choice((0, 1, 2))))
        made += [*(Move("canary", new, share) for share in steps), Move("champion", new)]
        old, new = new, old
    return made[:n]


def plan(request: Request, loop: LoopSettings) -> list[Fault]:
    """Faults and rollouts, the calm ones first. A rollout's `step` says how it is brought about."""
    dice = random.Random(request.seed)  # noqa: S311 - a proof is repeatable
    calm = [Fault("rollout", _LASTS, 0.5, "once") for _ in range(request.calm)]
    return [*calm, *_shuffled(request, loop, dice)]


def _shuffled(request: Request, loop: LoopSettings, dice: random.Random) -> list[Fault]:
    faults = list(_strikes(request, loop, dice))
    ways = islice(cycle(("once", "cut", "once", "once", "twins")), request.rollouts - request.calm)
    faults += [Fault("rollout", _LASTS, dice.uniform(0.0, 0.5), how) for how in ways]
    dice.shuffle(faults)
    for _ in range(request.moves):
        first = dice.randint(0, len(faults))
        faults.insert(first, Fault("join", 1.0, 0.1))
        faults.insert(dice.randint(first + 1, len(faults)), Fault("leave", 1.0, 0.1))
    return faults


def _strikes(request: Request, loop: LoopSettings, dice: random.Random) -> Iterator[Fault]:
    """Kills overlap the rollouts that follow them; a freeze lasts until the group has gone on without the worker."""
    steps = cycle(dice.sample(STEPS, len(STEPS)))
    for i in range(request.kills):
        yield Fault("kill", 1.0, dice.uniform(0.0, 0.5), next(steps) if i % 2 else RANDOM)
    for _ in range(request.freezes):
        length = loop.session_timeout + dice.uniform(1.0, 3.0)
        yield Fault("freeze", length + 1.0, 0.2, RANDOM, length)
