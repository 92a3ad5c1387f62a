"""The feature writer: `python -m services.ingest.features.main PIPELINE`. Wiring only."""

import sys
from uuid import uuid4

from services.ingest.features.step import FeatureWriterStep
from shared.adapters.redis_features import RedisReader, RedisWriter
from shared.core.errors import Unavailable
from shared.core.topics import topic
from shared.runtime.probe import Probe
from shared.runtime.refill import MarkedRefill
from shared.runtime.worker import Worker, build_loop, exit_code, redis_address, run_worker, worker

CHECK_TIMEOUT = 5.0  # s; a start has time that a batch has not


def main(where: str) -> None:
    """Write one pipeline's features into Redis until told to stop.

    Raises:
        UserError: the pipeline file or a setting is wrong, or Redis refuses the login.
    """
    with worker("features", where, checks=("assignment", "cache")) as w:
        spec = w.pipeline.spec
        _check(w)
        writer = RedisWriter(redis_address(w.settings.redis), spec.name, spec.lookups)
        step = FeatureWriterStep(spec, writer, w.metrics, lambda ok, why: w.health.set("cache", ok, why))
        probe = Probe(
            pipeline=spec.name, topic=topic(spec.name, "features"), metrics=w.metrics, health=w.health,
            tracer=w.tracer, clock=w.clock, outcome="feature",
        )  # fmt: skip
        # Redis takes no part in a Kafka transaction; the merge there is idempotent, so at least once is enough.
        loop = build_loop(
            w, step, source="features", letters="features.dlq", probe=probe, exactly_once=False,
            refill=MarkedRefill(writer, w.clock, uuid4().hex),
        )  # fmt: skip
        try:
            run_worker(loop)
        finally:
            writer.close()


def _check(w: Worker) -> None:
    """Name a wrong login before anything starts. A Redis that is away is waited for: updates stay in their topic."""
    reader = RedisReader(redis_address(w.settings.redis))
    try:
        reader.check(CHECK_TIMEOUT)
        w.health.set("cache", True)
    except (Unavailable, TimeoutError) as error:
        w.health.set("cache", False, str(error))
    finally:
        reader.close()


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
