"""The time before the demo: records that aggregates look back on, played and scored, and not counted.

A pipeline that lived before would know its entities; one that begins with the demo would see strangers.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from services.ingest.replay.main import Options, replay
from services.ingest.replay.plan import Selection
from services.retrainer.dataset import Files
from shared.adapters.kafka.positions import GroupPositions
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.core.topics import TopicName, topic
from shared.runtime.settings import KafkaSettings
from tailrace.demo.part import Part

# In the order in which one waits for the other.
SCORED: tuple[tuple[str, TopicName], ...] = (
    ("scorer", "records"), ("aggregates-route", "records"), ("aggregates-fold", "entities"), ("features", "features"),
)  # fmt: skip
MONITORS: tuple[tuple[str, TopicName], ...] = (("labels", "labels"), ("observer", "journal"))
_WAIT_S = 120.0
_POLL_S = 0.1


def play_past(
    spec: PipelineSpec, files: Files, part: Part, kafka: KafkaSettings, conf: Mapping[str, Any], state: Path
) -> None:
    """Publish the records that aggregates look back on, and wait until every service has done its work on them.

    Raises:
        UserError: it takes too long.
    """
    selection = Selection(part.past_from, part.start, labels=False, lead_ms=part.lead_ms)
    replay(spec, files, kafka, Options(state=state, selection=selection, max_lag=part.max_lag))
    wait_for(spec, conf, SCORED)


def wait_for(spec: PipelineSpec, conf: Mapping[str, Any], services: Iterable[tuple[str, TopicName]]) -> None:
    """Wait until these services have done their work on all that is in their topics by now, one after the other.

    Raises:
        UserError: it takes too long.
    """
    with ExitStack() as opened:
        for service, name in services:
            group = f"tailrace.{spec.name}.{service}"
            positions = opened.enter_context(closing(GroupPositions(conf, group, topic(spec.name, name))))
            _wait(group, _left(positions))


def _left(positions: GroupPositions) -> Callable[[], int]:
    ends, starts = positions.readable(), positions.starts()

    def left() -> int:
        done = positions.committed()
        return sum(max(0, end - done.get(p, starts[p])) for p, end in ends.items())

    return left


def _wait(group: str, left: Callable[[], int]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while missing := left():
        if time.monotonic() > deadline:
            raise UserError(
                f"group {group} has {missing:,} messages still to do", remedy="look at the logs of its service"
            )
        time.sleep(_POLL_S)
