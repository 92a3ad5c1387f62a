"""The closed loop while the demo runs: its events on the screen, its progress, and what of it goes to the summary."""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import msgspec

from shared.adapters.pipeline_yaml import Pipeline
from tailrace.demo.loop import Loop
from tailrace.demo.loop_news import LoopTopics
from tailrace.demo.screen import Screen
from tailrace.demo.summary import Loop as Told
from tailrace.stack.program import Program

ASK_EVERY = 1.0  # s between two questions to the retrainer
_WAITS = ("training", "retrain", "version", "epoch", "monitor")
"""What a replay says of what it waits for, where that is the loop and not the scorer."""


class _Check(msgspec.Struct):
    detail: str = ""


class _Ready(msgspec.Struct):
    checks: dict[str, _Check] = {}


class Closing:
    """Follows the loop of one pipeline.

    Args:
        pipeline: whose.
        conf: connection settings of the client.
        screen: shows it.
    """

    def __init__(self, pipeline: Pipeline, conf: Mapping[str, Any], screen: Screen) -> None:
        self._pipeline, self._conf, self._screen = pipeline, conf, screen
        self.loop = Loop(pipeline.spec.partitions, screen.event)
        self._topics: LoopTopics | None = None
        self._address, self._asked, self._stage = "", 0.0, ""
        self._waiting, self._waited = 0.0, 0.0
        self.holding = ""
        """Why event time stands still for the loop, in words; empty: it does not."""

    def open(self, programs: Sequence[Program]) -> None:
        """Begin to follow, once the topics are there."""
        name = self._pipeline.spec.name
        self._address = next((p.address for p in programs if p.name.startswith("retrainer-")), "")
        self._topics = LoopTopics(self._conf, name, self.loop)

    def look(self, *, to_end: bool = False) -> None:
        """Show what is new.

        Raises:
            Unavailable: the broker does not answer.
        """
        if self._topics is None:
            return
        self._topics.look(to_end=to_end)
        now = time.monotonic()
        if now - self._asked >= ASK_EVERY:
            self._asked = now
            self._progress()

    def waits(self, holding: str) -> None:
        """What the replay waits for, as it says itself."""
        now, waits = time.monotonic(), any(word in holding for word in _WAITS)
        self.holding = holding if waits else ""
        if waits and not self._waiting:
            self._waiting = now
        elif not waits and self._waiting:
            self._waited += now - self._waiting
            self._waiting = 0.0

    def summary(self) -> Told:
        """What the loop did."""
        return Told(
            trainings=self.loop.trained(), changes=self.loop.changes(), in_force=self.loop.in_force(),
            waited=round(self._waited, 1),
        )  # fmt: skip

    def close(self) -> None:
        """Let the clients go."""
        if self._topics is not None:
            self._topics.close()
            self._topics = None

    def _progress(self) -> None:
        """What the training in hand is doing, as the retrainer's `/ready` says."""
        if not self._address:
            return
        try:
            with urlopen(f"{self._address}/ready", timeout=0.5) as answer:  # noqa: S310 - our own loopback address
                said = msgspec.json.decode(answer.read(), type=_Ready)
        except (URLError, OSError, msgspec.DecodeError):
            return
        _, _, stage = said.checks.get("training", _Check()).detail.partition(": ")
        if ": " in stage and stage != self._stage:  # a state of the training is an event by itself
            self._screen.event(f"  {stage}")
        self._stage = stage
