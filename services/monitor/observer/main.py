"""The observer: `python -m services.monitor.observer.main PIPELINE`. Wiring only."""

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from services.monitor.bundles import bundle_reader
from services.monitor.observer.checkpoints import Checkpoints
from services.monitor.observer.profiles import ProfileStore
from services.monitor.observer.recover import Recovering, Saving
from services.monitor.observer.rules import rules_of
from services.monitor.observer.step import ObserverStep
from shared.adapters.kafka.ranges import RangeReader
from shared.adapters.kafka.table import TableReader
from shared.adapters.rocks import RocksMemory, RocksStore
from shared.core.pipeline_base import Duration
from shared.core.topics import topic
from shared.runtime.fetch import Fetcher
from shared.runtime.follow import RolloutFollower
from shared.runtime.logs import get_logger
from shared.runtime.model_files import model_cache, public_key, state_folder
from shared.runtime.probe import Probe
from shared.runtime.worker import Worker, build_loop, exit_code, run_worker, worker

# Nobody waits for a scorecard as for a prediction: a batch gathers for half a second, so that each changed scorecard
# is published twice a second at most.
PATIENCE = 2.0  # s
BATCH = 20_000  # entries, at least: what a batch costs by itself is shared by so many


def main(where: str) -> None:
    """Observe one pipeline until told to stop.

    Raises:
        UserError: the pipeline file or a setting is wrong.
    """
    with worker("observer", where, checks=("assignment",)) as w:
        spec = w.pipeline.spec
        topics = (topic(spec.name, "outcomes"), topic(spec.name, "scorecards"), topic(spec.name, "errors"))
        step = ObserverStep(rules_of(spec, _profiles(w)), topics, _stores(w), w.metrics)
        probe = Probe(
            pipeline=spec.name, topic=topic(spec.name, "journal"), metrics=w.metrics, health=w.health,
            tracer=w.tracer, clock=w.clock, outcome="folded",
        )  # fmt: skip
        ranges = RangeReader(w.kafka, topic(spec.name, "journal"), w.settings.loop.call_timeout * 2)
        controls = Recovering(step, ranges, _saving(w), lambda *gone: _gone(w, *gone), w.health.turn)
        # Not `ahead`: a batch is settled on the disk when the next one begins, so it has to be committed by then.
        loop = build_loop(_patient(w), step, source="journal", letters="labels.dlq", probe=probe, controls=controls)
        try:
            run_worker(loop)
        finally:
            step.forget(list(range(spec.partitions)))


def _patient(w: Worker) -> Worker:
    delivery = msgspec.structs.replace(
        w.pipeline.spec.delivery, latency_target=Duration(PATIENCE), gather=Duration(PATIENCE / 4),
        max_batch=max(w.pipeline.spec.delivery.max_batch, BATCH),
    )  # fmt: skip
    spec = msgspec.structs.replace(w.pipeline.spec, delivery=delivery)
    return dataclasses.replace(w, pipeline=dataclasses.replace(w.pipeline, spec=spec))


def _profiles(w: Worker) -> ProfileStore:
    spec, settings, state = w.pipeline.spec, w.settings, state_folder()
    reader = TableReader(w.kafka, topic(spec.name, "models"), settings.loop.call_timeout * 2)
    fetcher = Fetcher(model_cache(settings.models, state), settings.mlflow, w.clock, time.sleep)
    follower = RolloutFollower(reader, spec.name, lambda _: None)
    fetch = bundle_reader(spec, fetcher, public_key(settings.models, state), settings.models.timeout)
    return ProfileStore(fetch, follower, w.clock)


def _stores(w: Worker) -> Callable[[int], RocksStore]:
    """A folder a worker and partition: two workers of one machine never open the same."""
    given = w.settings.monitor.state
    root = Path(given) if given else state_folder() / "observer"
    folder = root / w.pipeline.spec.name / str(w.settings.worker.slot)
    memory = RocksMemory()
    return lambda partition: RocksStore(folder / str(partition), memory)


def _saving(w: Worker) -> Saving:
    given = w.settings.monitor.checkpoints
    if not given:
        return Saving(None, w.settings.monitor.checkpoint_every)
    folder = Path(given) / w.pipeline.spec.name
    return Saving(lambda partition: Checkpoints(folder / str(partition)), w.settings.monitor.checkpoint_every)


def _gone(w: Worker, partition: int, start: int, end: int) -> None:
    """Windows lack what stood there: they are marked as incomplete."""
    w.metrics.count("tailrace_records_total", end - start, pipeline=w.pipeline.spec.name, outcome="skipped")
    get_logger("observer").error("entries lost to retention", partition=partition, first=start, last=end - 1)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
