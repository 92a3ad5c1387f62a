"""The archiver: `python -m services.retrainer.archive.main PIPELINE`. Wiring only."""

import dataclasses
import sys
from collections.abc import Callable

import msgspec

from services.retrainer.archive.retention import Retention, retention_of
from services.retrainer.archive.step import Archiving, Terms
from services.retrainer.archive.store import Archive, archive_url
from shared.adapters.files import no_mark
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.ranges import RangeReader
from shared.core.errors import Unavailable, UserError
from shared.core.pipeline_base import Duration
from shared.core.topics import topic
from shared.runtime.logs import get_logger
from shared.runtime.probe import Probe
from shared.runtime.worker import Worker, build_loop, exit_code, run_worker, worker

# Nobody waits for a file: a batch gathers, so that each has its fixed costs once.
PATIENCE = 2.0  # s
BATCH = 10_000


def main(where: str, mark: Callable[[str], None] = no_mark) -> None:
    """Archive one pipeline's outcomes until told to stop.

    Args:
        where: the pipeline's folder, file or name.
        mark: called at each named step of a write, so that tests can crash there.

    Raises:
        UserError: the pipeline file or a setting is wrong.
        Unavailable: the archive cannot be written now.
    """
    with worker("archiver", where, checks=("assignment",)) as w:
        settings, outcomes = w.settings.archive, topic(w.pipeline.spec.name, "outcomes")
        keep = retention_of(settings.retention)
        archive = Archive(archive_url(w.settings), w.pipeline.spec.name, mark)
        span = archive.begin(settings.range)
        archive.folder.sweep()
        archiving = Archiving(
            archive, Terms(outcomes, _generation(w, outcomes), span, settings.flush),
            RangeReader(w.kafka, outcomes, w.settings.loop.call_timeout * 2),
            gap=lambda *gone: _gone(w, *gone), turn=w.health.turn, metrics=w.metrics, clock=w.clock,
            tidy=Retention(archive, keep, w.clock),
        )  # fmt: skip
        probe = Probe(
            pipeline=w.pipeline.spec.name, topic=outcomes, metrics=w.metrics, health=w.health,
            tracer=w.tracer, clock=w.clock, outcome="archived",
        )  # fmt: skip
        # Files take no part in a Kafka transaction; what is written twice is one file, so at least once is enough.
        loop = build_loop(
            _patient(w), archiving, source="outcomes", letters="labels.dlq", probe=probe, controls=archiving,
            exactly_once=False,
        )  # fmt: skip
        run_worker(loop)


def _patient(w: Worker) -> Worker:
    delivery = msgspec.structs.replace(
        w.pipeline.spec.delivery, latency_target=Duration(PATIENCE), gather=Duration(PATIENCE / 4),
        max_batch=max(w.pipeline.spec.delivery.max_batch, BATCH),
    )  # fmt: skip
    spec = msgspec.structs.replace(w.pipeline.spec, delivery=delivery)
    return dataclasses.replace(w, pipeline=dataclasses.replace(w.pipeline, spec=spec))


def _generation(w: Worker, name: str) -> str:
    try:
        return KafkaAdmin(w.kafka, timeout=w.settings.loop.call_timeout * 2).generation(name)
    except UserError as error:  # the broker or the topic may still come: no reason to give up for good
        raise Unavailable(f"{error}; `tailrace topics apply` makes topics") from error


def _gone(w: Worker, partition: int, start: int, end: int) -> None:
    """Outcomes that retention took before they were archived: nobody may believe otherwise."""
    w.metrics.count("tailrace_records_total", end - start, pipeline=w.pipeline.spec.name, outcome="skipped")
    get_logger("archive").error("outcomes lost to retention", partition=partition, first=start, last=end - 1)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
