"""The label router: `python -m services.ingest.labels.main PIPELINE`. Wiring only."""

import sys

from services.ingest.labels.step import LabelStep, letter_body
from shared.core.privacy import Redactor
from shared.core.topics import topic
from shared.runtime.probe import Probe
from shared.runtime.secrets import privacy_secret
from shared.runtime.worker import build_loop, exit_code, run_worker, worker


def main(where: str) -> None:
    """Copy one pipeline's labels into its journal until told to stop.

    Raises:
        UserError: the pipeline file or a setting is wrong.
    """
    with worker("labels", where, checks=("assignment",)) as w:
        spec = w.pipeline.spec
        redactor = Redactor(spec.privacy, spec.record, privacy_secret(w.settings.privacy, spec.privacy))
        step = LabelStep(spec, redactor, topic(spec.name, "journal"))
        probe = Probe(
            pipeline=spec.name, topic=topic(spec.name, "labels"), metrics=w.metrics, health=w.health,
            tracer=w.tracer, clock=w.clock, outcome="routed",
        )  # fmt: skip
        loop = build_loop(
            w, step, source="labels", letters="labels.dlq", probe=probe,
            withhold=letter_body(redactor) if redactor.hides_id or redactor.hides_key else None,
            withhold_key=redactor.key,
        )  # fmt: skip
        run_worker(loop)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
