"""The analyst: `python -m services.monitor.analyst.main PIPELINE`. Wiring only."""

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial

from services.monitor.analyst.app import Analyst, Around
from services.monitor.analyst.inbox import Topics
from services.monitor.analyst.ledger import KafkaLedger
from services.monitor.analyst.saying import Sayings
from services.monitor.analyst.showing import Showing
from services.monitor.analyst.subjects import Subjects
from services.monitor.analyst.terms import terms_of
from services.monitor.bundles import bundle_reader
from shared.adapters.faust_app import faust_app, run
from shared.adapters.kafka.log import LogReader
from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.sink import KafkaSink
from shared.adapters.kafka.table import TableReader
from shared.core.errors import Unavailable, UserError
from shared.core.owning import Reading
from shared.core.topics import topic
from shared.runtime.fetch import Fetcher
from shared.runtime.follow import RolloutFollower
from shared.runtime.logs import quieten
from shared.runtime.model_files import model_cache, public_key, state_folder
from shared.runtime.worker import Worker, exit_code, worker

FETCH = 20.0  # s at most for a bundle: a turn waits for it, and is watched


def main(where: str) -> None:
    """Watch over one pipeline until told to stop.

    Raises:
        UserError: the pipeline file or a setting is wrong.
    """
    with worker("analyst", where, checks=("assignment", "model")) as w:
        quieten("faust", "mode", "aiokafka", "shared.adapters.faust_app")
        spec = w.pipeline.spec
        ledger = _ledger(w)
        names = Topics(topic(spec.name, "scorecards"), topic(spec.name, "errors"), topic(spec.name, "asks"))
        around = Around(
            w.health, Showing(w.metrics), w.clock, w.watchdog.step, round(w.settings.monitor.look * 1_000)
        )  # fmt: skip
        sayings = Sayings(topic(spec.name, "verdicts"), topic(spec.name, "retrain"), w.clock)
        reading = Reading(
            w.group, names.cards, topic(spec.name, "analyst.cards"),
            state_folder() / "analyst" / spec.name / str(w.settings.worker.slot), w.settings.loop.session_timeout,
            w.settings.monitor.turn, w.name if w.settings.kafka.static_membership else "",
        )  # fmt: skip
        _check(w, (names.cards, names.errors, names.asks, reading.changelog))
        analyst = Analyst(terms_of(spec), names, partial(_log, w), ledger, _subjects(w), sayings, around)
        try:
            asyncio.run(_until_told(w, reading, analyst))
        finally:
            analyst.close()
            ledger.close()


def _check(w: Worker, names: Sequence[str]) -> None:
    """Say what is wrong with the broker in our words: Faust would wait for it without any.

    Raises:
        Unavailable: it cannot be reached, lets us not in, or lacks a topic; another try may succeed.
        UserError: a topic has several partitions.
    """
    for name in names:
        try:
            with closing(GroupPositions(w.kafka, w.group, name, w.settings.loop.call_timeout * 2)) as asked:
                partitions = asked.partitions
        except UserError as error:
            raise Unavailable(str(error)) from error
        if partitions != 1:
            raise UserError(f"topic {name} has {partitions} partitions", remedy="the analyst needs it to have one")


async def _until_told(w: Worker, reading: Reading, analyst: Analyst) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(faust_app(w.kafka, reading, analyst), stop)


def _log(w: Worker, name: str) -> LogReader:
    return LogReader(w.kafka, name, w.settings.loop.call_timeout * 2)


def _ledger(w: Worker) -> KafkaLedger:
    name, limits = topic(w.pipeline.spec.name, "analyst.memory"), w.settings.loop

    def sink() -> KafkaSink:
        return KafkaSink(
            w.kafka, transactional_id=w.group, transaction_timeout=limits.transaction_timeout,
            call_timeout=limits.call_timeout, clock=w.clock, turn=w.health.turn,
        )  # fmt: skip

    return KafkaLedger(name, w.pipeline.spec.name, sink, TableReader(w.kafka, name, limits.call_timeout * 2))


def _subjects(w: Worker) -> Subjects:
    spec, settings, state = w.pipeline.spec, w.settings, state_folder()
    reader = TableReader(w.kafka, topic(spec.name, "models"), settings.loop.call_timeout * 2)
    fetcher = Fetcher(model_cache(settings.models, state), settings.mlflow, w.clock, time.sleep)
    fetch = bundle_reader(spec, fetcher, public_key(settings.models, state), min(settings.models.timeout, FETCH))
    return Subjects(RolloutFollower(reader, spec.name, lambda _: None), fetch, w.clock)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
