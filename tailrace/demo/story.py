"""The end of the whole story: a bad challenger is forced past the gate, and the rollout takes it back by itself."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from services.retrainer.dataset import Files
from shared.adapters.pipeline_yaml import Pipeline
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.runtime.settings import Settings
from tailrace.demo.loop import Loop, version_of
from tailrace.demo.part import Part, choose
from tailrace.demo.playing import Request
from tailrace.demo.poison import force_bad
from tailrace.demo.screen import Screen
from tailrace.demo.summary import Bad

GOOD = 0.8  # share of the records that are played before the bad challenger comes
BEGIN_S = 120.0  # s until its trial begins
SETTLE_S = 45.0  # s that the controller has after the last record
TICK = 0.5


class Story:
    """What the whole story does beside the replay.

    Args:
        pipeline: what is scored.
        settings: with the stack's addresses.
        request: what to play.
        screen: shows it.
        state: the stack's state folder.
    """

    def __init__(self, pipeline: Pipeline, settings: Settings, request: Request, screen: Screen, state: Path) -> None:
        self._pipeline, self._settings, self._request = pipeline, settings, request
        self._screen, self._state = screen, state
        self._bad = ""

    def poison(self, files: Files, part: Part, look: Callable[[], None], loop: Loop) -> None:
        """Bring the bad challenger, and wait until the rollout tries it.

        Raises:
            UserError: its trial does not begin.
        """
        self._bad = force_bad(
            self._pipeline.spec, self._settings, files, part.last, self._state, self._request.seed, self._screen.event
        )
        self._screen.event(f"version {self._bad} (shuffled labels) is forced past the gate: alias challenger")
        if not _until(lambda: self._tried(loop), BEGIN_S, look):
            raise UserError(
                f"version {self._bad} is not tried after {BEGIN_S:.0f} s", remedy="see the log of the rollout"
            )

    def settle(self, look: Callable[[], None], loop: Loop) -> None:
        """Let the controller look at the last labels."""
        _until(lambda: bool(self._reason(loop)), SETTLE_S, look)

    def told(self, loop: Loop, versions: Mapping[str, int]) -> Bad | None:
        """What became of it."""
        if not self._bad:
            return None
        reason = self._reason(loop)
        return Bad(
            version=self._bad, taken_back=bool(reason) and loop.in_force() != self._bad, reason=reason,
            scored=versions.get(self._bad, 0), in_force=loop.in_force(),
        )  # fmt: skip

    def _tried(self, loop: Loop) -> bool:
        return any(
            one.plan and one.state != "announced" and version_of(one) == self._bad for one in loop.epochs.values()
        )

    def _reason(self, loop: Loop) -> str:
        taken = [
            one for one in loop.epochs.values() if one.plan and one.state == "revoked" and version_of(one) == self._bad
        ]
        return taken[-1].reason if taken else ""


def halves(spec: PipelineSpec, files: Files, part: Part) -> tuple[Part, Part]:
    """What is played before the bad challenger, and after it."""
    first = choose(spec, files, start=part.start, limit=max(1, int(part.records * GOOD)))
    left = part.records - first.records
    return first, replace(part, start=first.last + 1, records=left, past=0, past_from=first.last + 1)


def _until(done: Callable[[], bool], seconds: float, look: Callable[[], None]) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK)
        look()
    return True
