"""Retrainers of a world on a real broker and registry: requests and verdicts as an analyst would write them."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from shared.adapters.kafka.table import TableReader
from shared.core.monitor_records import RetrainRequest, Verdict
from shared.core.records import Rollout
from shared.core.retraining import Book, Training
from shared.core.topics import TopicName, topic
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tests.support.wait import until
from tests.support.world import World

MODULE = "services.retrainer.serve"


@dataclass(slots=True)
class Retrainers:
    """Processes of retrainers of one world, and what they say."""

    world: World
    mlflow: str
    env: Mapping[str, str]
    module: str = MODULE
    readers: dict[str, TableReader] = field(default_factory=dict)
    seen: dict[str, list[bytes]] = field(default_factory=dict)

    def start(self, slot: int = 0) -> str:
        """Start one; its address."""
        w = self.world
        endpoints = Endpoints(kafka=w.kafka, redis=w.redis, mlflow=self.mlflow)
        (one,) = SERVICE_PROGRAMS["retrainer"](Order(w.folder, endpoints, w.folder / "state", 1, lambda _: free_port()))
        argv = tuple(self.module if word == MODULE else word for word in one.argv)
        program = replace(one, name=self.name(slot), argv=argv, env={**one.env, **w.extra_env, **self.env})
        w.supervisor.start(program)
        return program.address

    def name(self, slot: int) -> str:
        """A process's name."""
        return f"retrainer-{self.world.folder.name}-{slot}"

    def signal(self, slot: int, number: signal.Signals) -> None:
        """Send a signal to one that lives."""
        until(lambda: self.world.supervisor.pid(self.name(slot)) is not None, "a living retrainer", 60)
        os.kill(self.world.supervisor.pid(self.name(slot)) or 0, number)

    def log(self, slot: int = 0) -> str:
        """What one has logged."""
        path = self.world.folder / "state" / "logs" / f"{self.name(slot)}.log"
        return path.read_text() if path.exists() else ""

    def tell(self, at: int, trigger: str = "quality", state: Literal["ok", "alarm"] = "ok") -> None:
        """A verdict."""
        said = Verdict(
            version="1",
            metric=trigger,
            trigger=trigger,
            verdict=state,
            n=1,
            window=(at, at),
            since=at,
            at=at,
        )
        self.world.send("verdicts", [(f"1/{trigger}", msgspec.json.encode(said), None)])

    def ask(self, id_: str, at: int, trigger: str = "errors", **changes: Any) -> None:
        """A request."""
        one = RetrainRequest(
            id=id_, pipeline=self.world.spec.name, version="1", trigger=trigger, block="0", at=at, reasons=()
        )
        self.world.send("retrain", [("x", msgspec.json.encode(msgspec.structs.replace(one, **changes)), None)])

    def trainings(self) -> dict[str, Training]:
        """The last word on each training."""
        found = self._values("trainings", Book | Training)
        return {one.id: one for one in found if isinstance(one, Training)}

    def words(self, id_: str) -> list[Training]:
        """Everything that was ever said of a training."""
        return [
            one for one in self._values("trainings", Book | Training) if isinstance(one, Training) and one.id == id_
        ]

    def book(self) -> Book:
        """What is remembered."""
        return [one for one in self._values("trainings", Book | Training) if isinstance(one, Book)][-1]

    def models(self) -> dict[int, Rollout]:
        """What `models` says."""
        return {one.epoch: one for one in self._values("models", Rollout)}

    def verdicts(self) -> list[Verdict]:
        """The gate's verdicts."""
        return [one for one in self._values("verdicts", Verdict) if one.trigger == "gate"]

    def close(self) -> None:
        """Let the readers go."""
        for reader in self.readers.values():
            reader.close()

    def _values(self, name: TopicName, kind: Any) -> list[Any]:
        """All committed values so far; a reader stays open, since conditions are asked again and again."""
        if name not in self.readers:
            self.readers[name] = TableReader(self.world.conf, topic(self.world.spec.name, name), 60)
        self.seen.setdefault(name, []).extend(self.readers[name].to_end())
        return [msgspec.json.decode(value, type=kind) for value in self.seen[name]]
