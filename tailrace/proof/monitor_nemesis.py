"""Lets the planned faults of a monitor's proof strike."""

import random
import time
from collections import Counter
from collections.abc import Sequence

from tailrace.proof.monitor_crew import ANALYST, ROUTER, Crew
from tailrace.proof.monitor_plan import OBSERVERS, Strike
from tailrace.proof.plan import RANDOM
from tailrace.proof.scene import Say

_TAIL_S = 1.0


class MonitorNemesis:
    """Lets faults strike.

    Args:
        crew: whom they strike.
        seed: decides who of the crew.
        say: told of each.
    """

    def __init__(self, crew: Crew, seed: int, say: Say) -> None:
        self._crew, self._say = crew, say
        self._dice = random.Random(seed + 1)  # noqa: S311 - a proof is repeatable
        self._rest, self._until = 0.0, 0.0
        self.struck = Counter[str]()
        self.steps = Counter[str]()  # where kills of observers came
        self.unclean: list[str] = []

    def left(self) -> float:
        """How long faults will still strike, s."""
        return max(self._rest + self._until - time.monotonic(), 0.0)

    def run(self, strikes: Sequence[Strike]) -> None:
        """All of them, in order."""
        for i, strike in enumerate(strikes):
            self._rest = sum(one.lasts for one in strikes[i + 1 :]) + _TAIL_S
            self._until = time.monotonic() + strike.lasts
            time.sleep(strike.after)
            said = self._strike(strike)
            self.struck[strike.kind] += 1
            self._say(f"{i + 1}/{len(strikes)} {strike.kind} {said}")
        self._rest = 0.0

    def _strike(self, strike: Strike) -> str:
        crew = self._crew
        if strike.kind in {"router", "analyst"}:
            name = crew.single(ROUTER if strike.kind == "router" else ANALYST)
            crew.kill(name)
            return name
        if strike.kind == "join":
            crew.start_observer(OBSERVERS)
            return crew.observer(OBSERVERS)
        if strike.kind == "leave":
            name = crew.observer(OBSERVERS)
            crew.wait_ready(name)
            self.unclean += crew.stop(name)
            return name
        slot = self._dice.choice(sorted(crew.observers))
        name = crew.observer(slot)
        if strike.kind == "freeze":
            crew.freeze(name, strike.length)
            return f"{name} for {strike.length:.1f} s"
        named = strike.step != RANDOM and crew.kill_at(slot, strike.step)
        step = strike.step if named else RANDOM
        if not named:
            crew.kill(name, disk=slot if strike.kind == "disk" else -1)
        self.steps[step] += 1
        return f"{name} at {step}"
