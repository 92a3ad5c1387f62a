"""The schedule of faults: a function of the request and its seed alone."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

import msgspec

from shared.runtime.settings import LoopSettings
from tailrace.proof.trail import STEPS

Kind = Literal["kill", "freeze", "broker", "join", "leave", "rollout"]
Guarantee = Literal["exactly_once", "at_least_once"]
RANDOM = "random"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to try, and how often."""

    records: int
    kills: int
    workers: int
    broker_kills: int
    freezes: int
    seed: int
    guarantee: Guarantee = "exactly_once"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: it strikes `after` s into a span of `lasts` s, at a step of the delivery or at a random moment.

    `length` is how long a freeze takes, s.
    """

    kind: Kind
    lasts: float
    after: float
    step: str = RANDOM
    length: float = 0.0


def plan(request: Request, loop: LoopSettings) -> list[Fault]:
    """All faults, in order.

    Half of the kills hit a named step, each step in turn (at least once: all of them, after the flush); of the
    freezes, one is longer than a transaction may be open. Workers join and leave; the rollout comes in the middle.
    """
    dice = random.Random(request.seed)  # noqa: S311 - a proof is repeatable
    faults = [*_kills(request, loop, dice), *_freezes(request, loop, dice)]
    faults += [_fault("broker", loop.session_timeout + 8.0, dice) for _ in range(request.broker_kills)]
    dice.shuffle(faults)
    exactly = request.guarantee == "exactly_once"
    for _ in range(1 + request.kills // 10 if exactly else 0):
        first = dice.randint(0, len(faults))
        faults.insert(first, _fault("join", 3.0, dice))
        faults.insert(dice.randint(first + 1, len(faults)), _fault("leave", 3.0, dice))
    if exactly:
        faults.insert(len(faults) // 2, _fault("rollout", 4.0, dice))
    return faults


def _kills(request: Request, loop: LoopSettings, dice: random.Random) -> Iterator[Fault]:
    at_least = request.guarantee == "at_least_once"
    named = request.kills if at_least else (request.kills + 1) // 2
    steps = ["flushed"] if at_least else dice.sample(STEPS, len(STEPS))
    for step in islice(cycle(steps), named):
        yield _fault("kill", loop.session_timeout + 2.0, dice, step)
    for _ in range(request.kills - named):
        yield _fault("kill", loop.session_timeout + 2.0, dice)


def _freezes(request: Request, loop: LoopSettings, dice: random.Random) -> Iterator[Fault]:
    for i in range(request.freezes):
        shortest = loop.session_timeout if i % 2 else max(loop.session_timeout, loop.transaction_timeout)
        length = shortest + dice.uniform(1.0, 3.0)
        step = dice.choice(STEPS[:-1]) if i % 2 == 0 else RANDOM
        yield _fault("freeze", length + 3.0, dice, step, length)


def _fault(kind: Kind, lasts: float, dice: random.Random, step: str = RANDOM, length: float = 0.0) -> Fault:
    return Fault(kind, lasts, dice.uniform(0.0, 2.0), step, length)
