"""The fold of aggregates: `python -m services.ingest.aggregates.fold.main PIPELINE`. Wiring only."""

import sys

from services.ingest.aggregates.fold.step import FoldStep
from shared.adapters.kafka.ranges import RangeReader
from shared.core.topics import topic
from shared.runtime.logs import get_logger
from shared.runtime.probe import Probe
from shared.runtime.rebuild import Rebuilding
from shared.runtime.worker import Worker, build_loop, exit_code, run_worker, worker


def main(where: str) -> None:
    """Fold one pipeline's entities into versions of their features until told to stop.

    Raises:
        UserError: the pipeline file or a setting is wrong.
    """
    with worker("aggregates-fold", where, checks=("assignment",)) as w:
        spec = w.pipeline.spec
        step = FoldStep(spec, topic(spec.name, "features"), w.metrics)
        probe = Probe(
            pipeline=spec.name, topic=topic(spec.name, "entities"), metrics=w.metrics, health=w.health,
            tracer=w.tracer, clock=w.clock, outcome="folded",
        )  # fmt: skip
        controls = Rebuilding(step, _ranges(w), lambda *where: _gone(w, *where), w.health.turn)
        run_worker(build_loop(w, step, source="entities", letters="features.dlq", probe=probe, controls=controls))


def _ranges(w: Worker) -> RangeReader:
    return RangeReader(w.kafka, topic(w.pipeline.spec.name, "entities"), w.settings.loop.call_timeout * 2)


def _gone(w: Worker, partition: int, start: int, end: int) -> None:
    """Aggregates count too little until their spans have passed, and nobody may believe otherwise."""
    w.metrics.count("tailrace_aggregate_events_total", end - start, result="gone")
    get_logger("fold").error("events lost to retention", partition=partition, first=start, last=end - 1)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
