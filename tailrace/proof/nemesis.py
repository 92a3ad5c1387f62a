"""Lets the planned faults strike: kills, freezes, the broker's death, members that come and go, a rollout."""

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from services.retrainer.rollout.decide import RolloutRefused
from services.retrainer.rollout.wiring import rollout_control
from shared.core.errors import Unavailable, UserError
from tailrace.proof.live import Live, Outage
from tailrace.proof.plan import RANDOM, Fault, Request
from tailrace.proof.scene import Say, Scene, announce_second
from tailrace.proof.trail import Told, order, read_on, trail_of, withdraw

TAIL_S = 2.0
BACK_S = 30.0  # s after the broker's return within which every partition must go on
_STEP_S = 15.0  # for a worker to come to a step
_SOON_S = 0.05
_ROLLOUT_S = 90.0
_BROKER_S = 90.0


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that happened; `outage` is how long it was felt."""

    kind: str
    step: str
    outage: Outage | None = None
    text: str = ""


class Nemesis:
    """Lets faults strike in the order of the plan.

    Args:
        scene: what they strike.
        live: tells who owns what.
        request: what was asked for.
        faults: the plan.
        say: told of each.
        inquire: asked what holds partitions that do not go on after the broker's return; takes a word for its logs.
    """

    def __init__(
        self,
        scene: Scene,
        live: Live,
        request: Request,
        faults: Sequence[Fault],
        say: Say,
        inquire: Callable[[str], list[str]],
    ) -> None:
        self._scene, self._live, self._request, self._faults, self._say = scene, live, request, faults, say
        self._inquire = inquire
        self._dice = random.Random(request.seed + 1)  # noqa: S311 - a proof is repeatable
        self._slots = set(range(request.workers))
        self._at, self._until = 0, 0.0
        self.struck: list[Struck] = []
        self.unclean: list[str] = []
        self.hidden: list[str] = []  # what held partitions that did not go on

    @property
    def slots(self) -> set[int]:
        """The slots whose workers are meant to run."""
        return set(self._slots)

    def left(self) -> float:
        """How long faults will still strike, s."""
        later = sum(fault.lasts for fault in self._faults[self._at + 1 :])
        return later + max(self._until - time.monotonic(), 0.0) + TAIL_S

    def run(self) -> None:
        """All of them."""
        for i, fault in enumerate(self._faults):
            self._at = i
            began = time.monotonic()
            self._until = began + fault.lasts
            time.sleep(fault.after)
            struck = self._strike(fault)
            self.struck.append(struck)
            step = f" at {struck.step}" if fault.kind in {"kill", "freeze"} else ""
            self._say(f"{self._at + 1}/{len(self._faults)} {fault.kind}{step} {struck.text}".rstrip())
            time.sleep(max(0.0, self._until - time.monotonic()))
        self._at = len(self._faults)

    def _strike(self, fault: Fault) -> Struck:
        return {
            "kill": self._kill,
            "freeze": self._freeze,
            "broker": self._broker,
            "join": self._join,
            "leave": self._leave,
            "rollout": self._rollout,
        }[fault.kind](fault)

    def _kill(self, fault: Fault) -> Struck:
        slot, pid = self._victim()
        hit = self._at_step(slot, f"kill:{fault.step}") if fault.step != RANDOM else None
        if hit is not None:
            return self._hit("kill", fault.step, slot, hit.pid, hit.at)
        pid = self._scene.supervisor.pid(self._scene.worker(slot)) or self._victim()[1]
        at = time.time()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return self._hit("kill", RANDOM, slot, pid, at)

    def _hit(self, kind: str, step: str, slot: int, pid: int, at: float) -> Struck:
        return Struck(kind, step, self._live.lost(f"{slot}.{pid}", at), f"slot {slot}")

    def _freeze(self, fault: Fault) -> Struck:
        slot, pid = self._victim()
        hit = self._at_step(slot, f"stop:{fault.step}") if fault.step != RANDOM else None
        step = fault.step if hit else RANDOM
        if hit is None:
            os.kill(pid, signal.SIGSTOP)
        pid, at = (hit.pid, hit.at) if hit else (pid, time.time())
        struck = self._hit("freeze", step, slot, pid, at)
        try:
            time.sleep(fault.length)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        if struck.outage is not None:
            struck.outage.woken = time.time()
        return Struck(struck.kind, step, struck.outage, f"slot {slot} for {fault.length:.1f} s")

    def _broker(self, _: Fault) -> Struck:
        supervisor = self._scene.stack.supervisor
        pid = supervisor.pid("kafka")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _BROKER_S
        while supervisor.pid("kafka") in {pid, None} and time.monotonic() < deadline:
            time.sleep(_SOON_S)
        away = supervisor.wait_ready("kafka", _BROKER_S, through_restarts=True)
        outage = self._live.away(self._scene.pipeline.spec.partitions, time.time())
        back = time.monotonic()
        while outage.seconds is None and time.monotonic() - back < BACK_S:
            time.sleep(_SOON_S)  # nothing else strikes meanwhile: it is the broker's return that is measured
        if outage.seconds is None:
            self.hidden += self._inquire(f"broker-{self._at + 1}")
        return Struck("broker", RANDOM, outage, f"back after {away:.1f} s")

    def _join(self, _: Fault) -> Struck:
        slot = next(s for s in range(self._request.workers, 100) if s not in self._slots)
        self._slots.add(slot)
        self._scene.start(slot)
        return Struck("join", RANDOM, text=f"slot {slot}")

    def _leave(self, _: Fault) -> Struck:
        slot = max(self._slots)
        self._slots.discard(slot)
        self.stop(slot)
        return Struck("leave", RANDOM, text=f"slot {slot}")

    def stop(self, *slots: int) -> None:
        """Stop workers in order; what was ready and did not end with 0 is remembered."""
        up = [self._scene.worker(slot) for slot in slots if self._scene.ready(slot)]
        self._scene.supervisor.stop([self._scene.worker(slot) for slot in slots])
        codes = {s.name: s.last_exit for s in self._scene.supervisor.status() if s.last_code not in {0, None}}
        self.unclean += [f"{name}: {codes[name]}" for name in up if name in codes]

    def _rollout(self, _: Fault) -> Struck:
        version, deadline = announce_second(self._scene), time.monotonic() + _ROLLOUT_S
        while True:
            try:
                with rollout_control(self._scene.pipeline.spec, self._scene.settings) as control:
                    control.activate(version, reason="proof", workers=self._request.workers, timeout=_ROLLOUT_S)
            except (RolloutRefused, Unavailable, UserError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)
            else:
                return Struck("rollout", RANDOM, text=f"version {version}")

    def _at_step(self, slot: int, fault: str) -> Told | None:
        """Have a worker hit itself at a step; None if it did not come there in time."""
        folder = self._scene.trails
        path, size = trail_of(folder, slot)
        order(folder, slot, fault)
        deadline, taken = time.monotonic() + _STEP_S, False
        while True:
            for told in read_on(path, size):
                if told.what == "fault":
                    return told
            if taken or (time.monotonic() > deadline and withdraw(folder, slot)):
                return None
            taken = time.monotonic() > deadline  # it came just now: look once more
            time.sleep(_SOON_S)

    def _victim(self) -> tuple[int, int]:
        """A running worker that owns something, as far as one is there."""
        deadline = time.monotonic() + _STEP_S
        while True:
            pids = {slot: self._scene.supervisor.pid(self._scene.worker(slot)) for slot in sorted(self._slots)}
            up = [(slot, pid) for slot, pid in pids.items() if pid is not None]
            owners = self._live.owners()
            busy = [(slot, pid) for slot, pid in up if f"{slot}.{pid}" in owners]
            if busy or (up and time.monotonic() > deadline):
                return self._dice.choice(busy or up)
            time.sleep(_SOON_S)
