"""Lets the planned faults of a monitor's proof strike."""

import random
import time
from collections import Counter
from collections.abc import Sequence

from shared.runtime.settings import LoopSettings
from tailrace.proof.monitor_crew import ANALYST, ROUTER, Crew
from tailrace.proof.monitor_plan import OBSERVERS, Request, Strike
from tailrace.proof.plan import RANDOM
from tailrace.proof.scene import Say

_TAIL_S = 1.0


class MonitorNemesis:
    """Strikes in the order of the plan.

    Args:
        crew: whom it strikes.
        request: what was asked for.
        strikes: the plan.
        loop: time-outs in force.
        say: told of each.
    """

    def __init__(self, crew: Crew, request: Request, strikes: Sequence[Strike], loop: LoopSettings, say: Say) -> None:
        self._crew, self._strikes, self._say = crew, strikes, say
        self._dice = random.Random(request.seed + 1)  # noqa: S311 - a proof is repeatable
        self._at, self._until, self._session = 0, 0.0, loop.session_timeout
        self.struck = Counter[str]()
        self.steps = Counter[str]()  # where kills of observers came
        self.unclean: list[str] = []

    def left(self) -> float:
        """How long faults will still strike, s."""
        if self._at >= len(self._strikes):
            return 0.0
        later = sum(one.lasts for one in self._strikes[self._at + 1 :])
        return later + max(self._until - time.monotonic(), 0.0) + _TAIL_S

    def run(self) -> None:
        """All of them."""
        for i, strike in enumerate(self._strikes):
            self._at, self._until = i, time.monotonic() + strike.lasts
            time.sleep(strike.after)
            said = self._strike(strike)
            self.struck[strike.kind] += 1
            self._say(f"{i + 1}/{len(self._strikes)} {strike.kind} {said}")
        self._at = len(self._strikes)

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
