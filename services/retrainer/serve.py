"""The retrainer: `python -m services.retrainer.serve PIPELINE`. Wiring only."""

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from functools import cache

from services.retrainer.announce import announcing
from services.retrainer.launch import CHILD, Process, Work
from services.retrainer.ledger import KafkaLedger
from services.retrainer.models_view import ModelsView
from services.retrainer.orders import Order
from services.retrainer.registry import registry_of
from services.retrainer.service import Around, Retrainer
from services.retrainer.showing import CHECKS, Showing
from shared.adapters.kafka.owned import OwnedReader
from shared.adapters.kafka.sink import KafkaSink
from shared.adapters.kafka.table import TableReader
from shared.core.errors import Fenced, LogError, Unavailable
from shared.core.topics import TopicName, topic
from shared.runtime.logs import get_logger
from shared.runtime.worker import Worker, exit_code, worker

WAIT = 0.3  # s for the first of what comes
AGAIN = 1.0  # s after a broker that did not answer


def main(where: str, *, child: str = CHILD, mark: Callable[[str], None] = lambda _: None) -> None:
    """Serve one pipeline until told to stop.

    Args:
        where: the pipeline's folder, file or name.
        child: the module that trains.
        mark: called at each named step.

    Raises:
        UserError: the pipeline file or a setting is wrong.
    """
    with worker("retrainer", where, checks=CHECKS) as w:
        spec, wait = w.pipeline.spec, w.settings.loop.call_timeout * 2

        def launch(order: Order) -> Work:
            return Process(order, w.clock, spec.retraining.limits.time, child)

        with (
            closing(TableReader(w.kafka, topic(spec.name, "trainings"), wait)) as book,
            closing(TableReader(w.kafka, topic(spec.name, "models"), wait)) as models,
            closing(KafkaLedger(topic(spec.name, "trainings"), lambda: _sink(w), book)) as ledger,
            announcing(spec, w.settings, w.clock) as announce,
        ):
            around = Around(
                ledger, ModelsView(spec.name, models), launch, cache(lambda: registry_of(w.settings)),
                announce, Showing(w.health, w.metrics), w.clock, str(w.pipeline.folder), mark,
            )  # fmt: skip
            retrainer = Retrainer(spec, around)
            names: tuple[TopicName, ...] = ("retrain", "verdicts")
            static = {"group.instance.id": w.name} if w.settings.kafka.static_membership else {}
            reader = OwnedReader(
                {**w.kafka, **static}, w.group, [topic(spec.name, name) for name in names], begin=retrainer.begin,
                gone=retrainer.gone, session_timeout=w.settings.loop.session_timeout,
            )  # fmt: skip
            with closing(reader):
                try:
                    _until_told(w, reader, retrainer)
                finally:
                    retrainer.stop()


def _until_told(w: Worker, reader: OwnedReader, retrainer: Retrainer) -> None:
    stop, log = threading.Event(), get_logger("retrainer")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            with w.watchdog.step("turn"):
                taken = reader.poll(WAIT)
                if reader.owns:
                    retrainer.turn(taken, whole=reader.whole)
        except Fenced:
            raise
        except (LogError, Unavailable) as error:
            log.warning("the broker does not answer; trying again", error=str(error))
            stop.wait(AGAIN)
        w.health.turn()


def _sink(w: Worker) -> KafkaSink:
    limits = w.settings.loop
    return KafkaSink(
        w.kafka, transactional_id=w.group, transaction_timeout=limits.transaction_timeout,
        call_timeout=limits.call_timeout, clock=w.clock, turn=w.health.turn,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
