"""The route of aggregates: `python -m services.ingest.aggregates.route.main PIPELINE`. Wiring only."""

import sys

from services.ingest.aggregates.route.moments import moment
from services.ingest.aggregates.route.step import RouteStep
from shared.core.codec import RecordCodec
from shared.core.privacy import Redactor
from shared.core.topics import topic
from shared.runtime.probe import Probe
from shared.runtime.secrets import privacy_secret
from shared.runtime.worker import build_loop, exit_code, run_worker, worker


def main(where: str) -> None:
    """Write one pipeline's records to their entities until told to stop.

    Raises:
        UserError: the pipeline file or a setting is wrong.
    """
    with worker("aggregates-route", where, checks=("assignment",)) as w:
        spec = w.pipeline.spec
        redactor = Redactor(spec.privacy, spec.record, privacy_secret(w.settings.privacy, spec.privacy))
        step = RouteStep(spec, RecordCodec(spec), redactor, topic(spec.name, "entities"))
        probe = Probe(
            pipeline=spec.name, topic=topic(spec.name, "records"), metrics=w.metrics, health=w.health,
            tracer=w.tracer, clock=w.clock, outcome="routed",
        )  # fmt: skip
        loop = build_loop(
            w, step, source="records", letters="features.dlq", probe=probe, moment=moment(spec),
            withhold=redactor.body if redactor.active else None,
            withhold_key=redactor.key if redactor.active else None,
        )  # fmt: skip
        run_worker(loop)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
