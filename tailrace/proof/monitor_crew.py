"""The processes of a monitor's proof: a label router, observers and the analyst, as `tailrace up` starts them."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.request import urlopen

import msgspec

from shared.adapters.kafka.positions import GroupPositions
from shared.core.errors import Unavailable
from shared.core.topics import TopicName, topic
from tailrace.proof.scene import Scene
from tailrace.proof.trail import order, withdraw
from tailrace.stack.program import Program
from tailrace.stack.ready import is_ready
from tailrace.stack.services import SERVICE_PROGRAMS, Order

ROUTER, ANALYST = "labels", "analyst"
CHECKPOINT_S = 5.0
TURN_S = 0.5  # between two turns of the analyst: event time passes a window in a few seconds here
READY_S, DONE_S, STEP_S = 60.0, 180.0, 10.0
_SOON_S = 0.05


class Crew:
    """Starts, stops and hits them.

    Args:
        scene: of the proof.
        planted: the bug that observers have; empty for none.
    """

    def __init__(self, scene: Scene, planted: str) -> None:
        self._scene, self._planted = scene, planted
        self.state = scene.stack.state.path
        self.checkpoints = scene.trails / "checkpoints"
        self.has_analyst = ANALYST in SERVICE_PROGRAMS
        self.observers: set[int] = set()
        """The slots whose observers are meant to run."""
        self._sizes: dict[str, int] = {}  # how far each log was read

    def observer(self, slot: int) -> str:
        """The name of its program."""
        return f"observer-{self._scene.pipeline.folder.name}-{slot}"

    def single(self, service: str) -> str:
        """The name of the program of a service that has one."""
        return f"{service}-{self._scene.pipeline.folder.name}"

    def start_observer(self, slot: int) -> None:
        """Start one; returns at once."""
        self.observers.add(slot)
        (program,) = self._programs("observer")
        name = self.observer(slot)
        port = self._scene.stack.port(name)
        address = f"http://127.0.0.1:{port}"
        real, own = "services.monitor.observer.main", "tailrace.proof.monitor_worker"
        argv = tuple(own if word == real else word for word in program.argv)
        env = {
            **program.env,
            "TAILRACE_WORKER__SLOT": str(slot),
            "TAILRACE_HTTP__PORT": str(port),
            "TAILRACE_MONITOR__CHECKPOINTS": str(self.checkpoints),
            "TAILRACE_MONITOR__CHECKPOINT_EVERY": f"{CHECKPOINT_S:g}",
            "PROOF_TRAIL": str(self._scene.trails),
            "PROOF_PLANTED": self._planted if self._planted in {"drop", "double"} else "",
        }
        self._scene.supervisor.start(
            replace(program, name=name, argv=argv, env=env, address=address, ready=partial(is_ready, address))
        )

    def start_single(self, service: str) -> None:
        """Start the one program of a service; returns at once."""
        for program in self._programs(service):
            self._scene.supervisor.start(replace(program, env={**program.env, "TAILRACE_MONITOR__TURN": f"{TURN_S:g}"}))

    def stop(self, *names: str) -> list[str]:
        """Stop programs in order; those that did not end with 0, in words."""
        self._scene.supervisor.stop(names)
        found = {one.name: one for one in self._scene.supervisor.status()}
        for slot in list(self.observers):
            if self.observer(slot) in names:
                self.observers.discard(slot)
        return [f"{name}: {found[name].last_exit}" for name in names if found[name].last_code not in {0, None}]

    def kill(self, name: str, *, disk: int = -1) -> None:
        """SIGKILL; with `disk` the disk of that slot's observer goes as well. The supervisor starts it again."""
        pid = self.alive(name)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.until(lambda: self._scene.supervisor.pid(name) != pid, f"the end of {name}", READY_S)
        if disk >= 0:  # the next life needs a second or so before it opens anything
            self.wipe(disk)

    def kill_at(self, slot: int, step: str) -> bool:
        """Have an observer end itself at a step of its delivery; False where it does not come there in time."""
        name, folder = self.observer(slot), self._scene.trails
        pid = self.alive(name)
        order(folder, slot, f"kill:{step}")
        try:
            self.until(lambda: self._scene.supervisor.pid(name) != pid, f"{name} at {step}", STEP_S)
        except Unavailable:
            return not withdraw(folder, slot)
        return True

    def freeze(self, name: str, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        pid = self.alive(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def alive(self, name: str) -> int:
        """Its process, once it has one."""
        self.until(lambda: self._scene.supervisor.pid(name) is not None, f"a living {name}", READY_S)
        return self._scene.supervisor.pid(name) or 0

    def wipe(self, slot: int) -> None:
        """Take the disk of a slot's observer away."""
        shutil.rmtree(self.state / "observer" / self._scene.name / str(slot), ignore_errors=True)

    def wait_ready(self, *names: str) -> None:
        """Wait until they own partitions."""
        for name in names:
            address = next(one.address for one in self._scene.supervisor.status() if one.name == name)
            self.until(partial(is_ready, address), f"{name} to be ready", READY_S)

    def wait_done(self) -> float:
        """Wait until router and observers have committed everything that can be read; s."""
        began = time.monotonic()
        self.until(self._at_end("labels", "labels"), "the label router at the end of labels", DONE_S)
        self.until(self._at_end("observer", "journal"), "the observers at the end of the journal", DONE_S)
        return time.monotonic() - began

    def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for a condition.

        Raises:
            Unavailable: it does not come true in time.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Unavailable(f"waited {seconds:g} s for {what}")
            time.sleep(_SOON_S)

    def rebuilt(self) -> list[dict[str, Any]]:
        """What observers have said since the last call of how they came to know their partitions."""
        found: list[dict[str, Any]] = []
        for path in sorted((self.state / "workers").glob("observer-*.log")):
            with path.open("rb") as file:
                file.seek(self._sizes.get(path.name, 0))
                lines = file.readlines()
                self._sizes[path.name] = file.tell()
            found += _said(lines)
        return found

    def ids(self, slot: int) -> int:
        """How many ids an observer remembers, as its metrics say."""
        values = self._gauges(self.observer(slot), "tailrace_monitor_ids")
        return int(sum(value for value in values if value == value))  # noqa: PLR0124 - NaN is of partitions of others

    def wait_analyst(self) -> None:
        """Wait until the analyst has read all that there is, and has taken a turn since."""
        name = self.single(ANALYST)

        def turns() -> float:
            return sum(self._gauges(name, "tailrace_analyst_turns_total"))

        def read() -> bool:
            lags = self._gauges(name, "tailrace_analyst_lag_records")
            return bool(lags) and not any(lags)

        self.until(read, f"{name} to have read everything", DONE_S)
        before = turns()
        self.until(lambda: turns() > before + 1, f"a turn of {name}", DONE_S)

    def _gauges(self, program: str, name: str) -> list[float]:
        """The values of a metric of a program; none while it is away."""
        address = next(one.address for one in self._scene.supervisor.status() if one.name == program)
        try:
            with urlopen(f"{address}/metrics", timeout=5.0) as answer:  # noqa: S310 - our own loopback address
                lines = answer.read().decode().splitlines()
        except OSError:
            return []
        return [float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]

    def saved(self, since: float) -> set[int]:
        """The partitions that have a checkpoint of after a moment (Unix time)."""
        folder = self.checkpoints / self._scene.name
        files = [path for path in folder.glob("*/*.checkpoint") if path.stat().st_mtime > since]
        return {int(path.parent.name) for path in files}

    def _at_end(self, service: str, name: TopicName) -> Callable[[], bool]:
        full = topic(self._scene.name, name)

        def check() -> bool:
            group = f"tailrace.{self._scene.name}.{service}"
            with closing(GroupPositions(self._scene.conf, group, full)) as asked:
                at = asked.committed()
                return all(at.get(partition, 0) >= end for partition, end in asked.readable().items())

        return check

    def _programs(self, service: str) -> Sequence[Program]:
        stack = self._scene.stack
        order = Order(self._scene.pipeline.folder, stack.endpoints, stack.state.path, 1, stack.port)
        return SERVICE_PROGRAMS[service](order)


def _said(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if b'"memory rebuilt"' not in line:
            continue
        with suppress(msgspec.DecodeError):  # a line that a killed process did not end
            yield msgspec.json.decode(line)
