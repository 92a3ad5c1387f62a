"""One shadow worker: `python -m services.scorer.shadow.main PIPELINE`. Wiring only.

It reads the journal, not records, in a group of its own: the champion's path does not know of it.
"""

import dataclasses
import sys
from collections.abc import Callable

import msgspec

from services.scorer.heartbeat import Heart
from services.scorer.models import ModelStore
from services.scorer.shadow.step import ShadowStep
from services.scorer.shadow.target import Target
from services.scorer.speeds import Speeds
from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.begin import begin_at_end
from shared.adapters.kafka.table import TableReader
from shared.core.pipeline_base import Duration
from shared.core.topics import topic
from shared.runtime.background import give_way
from shared.runtime.controls import NoControls
from shared.runtime.follow import RolloutFollower
from shared.runtime.probe import Probe
from shared.runtime.worker import Worker, build_loop, exit_code, run_worker, worker

# Nobody waits for a shadow: few large transactions leave the broker to the champion.
PATIENCE = 2.0  # s


class Following(NoControls):
    """No barriers to cut at; `models` is read each turn.

    Args:
        refresh: reads what is new.
    """

    def __init__(self, refresh: Callable[[], object]) -> None:
        self._refresh = refresh

    def refresh(self) -> None:
        """Take in what is new in `models`."""
        self._refresh()


def main(where: str) -> None:
    """Score beside the champion of one pipeline until told to stop.

    Raises:
        UserError: the pipeline file, a setting or a time-out is wrong.
    """
    give_way()
    with worker("shadow", where, checks=("assignment", "model")) as w:
        spec, limits = w.pipeline.spec, w.settings.loop
        journal = topic(spec.name, "journal")
        store = ModelStore(spec, w.settings, w.metrics, w.clock)
        target = Target(spec, store, w.health)
        reader = TableReader(w.kafka, topic(spec.name, "models"), limits.call_timeout * 2)
        follower = RolloutFollower(reader, spec.name, lambda _: None)
        target.follow(follower.refresh(True))
        follower.changed = target.announced
        speeds = Speeds(w.clock)
        step = ShadowStep(spec, target.row, target.scoring, journal, speeds, w.clock)
        probe = Probe(
            pipeline=spec.name, topic=journal, metrics=w.metrics, health=w.health, tracer=w.tracer, clock=w.clock,
            outcome="shadowed",
        )  # fmt: skip
        announcer = Announcer(w.kafka, limits.call_timeout)
        heart = Heart(
            w.name, topic(spec.name, "workers"), announcer.post, probe, store, w.clock, limits.heartbeat,
            acts=lambda _: target.epoch(), also=target.tend, speeds=speeds, shadow=True,
        )  # fmt: skip
        begin_at_end(w.kafka, w.group, journal, range(spec.partitions), limits.call_timeout * 2)
        # What the step cannot score becomes no dead letter; the topic is named since a loop wants one.
        loop = build_loop(
            _patient(w), step, source="journal", letters="labels.dlq", probe=probe, ahead=True,
            controls=Following(follower.refresh),
        )  # fmt: skip
        heart.start()
        try:
            run_worker(loop)
        finally:
            heart.stop()
            announcer.close()


def _patient(w: Worker) -> Worker:
    delivery = msgspec.structs.replace(
        w.pipeline.spec.delivery, latency_target=Duration(PATIENCE), gather=Duration(PATIENCE / 4)
    )
    spec = msgspec.structs.replace(w.pipeline.spec, delivery=delivery)
    return dataclasses.replace(w, pipeline=dataclasses.replace(w.pipeline, spec=spec))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
