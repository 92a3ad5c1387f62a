"""The rollout controller: `python -m services.retrainer.rollout.main PIPELINE`. Wiring only."""

import signal
import sys
import threading
import time
from contextlib import ExitStack, closing

import msgspec

from services.retrainer.rollout.controller import Controller
from services.retrainer.rollout.references import References
from services.retrainer.rollout.steps import terms_of
from services.retrainer.rollout.watch import Aliases, RegistryWatch
from services.retrainer.rollout.wiring import rollout_control
from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.table import TableReader
from shared.core.errors import TailraceError, Unavailable
from shared.core.monitor_records import Verdict, verdict_key
from shared.core.topics import topic
from shared.runtime.bundles import bundle_reader
from shared.runtime.fetch import Fetcher
from shared.runtime.logs import get_logger, quieten
from shared.runtime.model_files import model_cache, public_key, state_folder
from shared.runtime.settings import Settings, read_secret
from shared.runtime.worker import Worker, exit_code, worker

TURN = 0.5  # s between turns
LOOK = 2.0  # s between looks at MLflow
PATIENCE = 5  # s that a request to it may take
FETCH = 20.0  # s at most for a bundle's reference


def main(where: str) -> None:
    """Bring versions of one pipeline into force, and take them back, until told to stop.

    Raises:
        UserError: the pipeline file or a setting is wrong.
    """
    with worker("rollout", where, checks=("model", "registry")) as w, ExitStack() as stack:
        quieten("mlflow", "urllib3")
        spec, log, done = w.pipeline.spec, get_logger("rollout"), threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: done.set())
        control = stack.enter_context(rollout_control(spec, w.settings, log.info))
        limit = w.settings.loop.call_timeout * 2
        cards = stack.enter_context(closing(TableReader(w.kafka, topic(spec.name, "scorecards"), limit)))
        announcer = stack.enter_context(closing(Announcer(w.kafka, limit)))
        watch = _watch(w)
        stack.callback(watch.stop)

        def say(verdict: Verdict) -> None:
            announcer.post(topic(spec.name, "verdicts"), verdict_key(verdict), msgspec.json.encode(verdict))

        controller = Controller(terms_of(spec), control, cards.fresh, watch, _references(w), w.metrics, say)
        watch.start()
        while not done.is_set():
            _turn(w, controller)
            done.wait(TURN)


def _turn(w: Worker, controller: Controller) -> None:
    """One turn; what fails is tried again with the next one, on what is so by then.

    No watchdog: whoever waits for a broker waits in here, and a turn that hangs for good is seen by its age.
    """
    try:
        move = controller.turn()
        w.health.set("model", True, move.reason or "what is in force is what is wanted")
    except TailraceError as error:  # of the broker, or of another controller that was faster
        w.health.set("model", False, str(error))
        get_logger("rollout").warning("turn failed", error=str(error), kind=type(error).__name__)
    w.health.turn()


def _watch(w: Worker) -> RegistryWatch:
    def told(ok: bool, why: str) -> None:  # noqa: FBT001 - as `Health.set` has it
        w.health.set("registry", ok, why)

    return RegistryWatch(lambda: _registry(w.settings), w.pipeline.spec.name, LOOK, w.clock, told)


def _registry(settings: Settings) -> Aliases:
    """MLflow's client takes seconds to import, so only here."""
    from shared.adapters.mlflow_models import Registry  # noqa: PLC0415 - the same

    login = settings.mlflow
    if not login.url:
        raise Unavailable("no MLflow server is set: mlflow.url")
    password = read_secret(login.password_file, setting="mlflow.password_file") if login.password_file else ""
    return Registry(login.url, login.username, password, patience_s=PATIENCE)


def _references(w: Worker) -> References:
    settings, state = w.settings, state_folder()
    fetcher = Fetcher(model_cache(settings.models, state), settings.mlflow, w.clock, time.sleep)
    key = public_key(settings.models, state)
    return References(bundle_reader(w.pipeline.spec, fetcher, key, min(settings.models.timeout, FETCH)), w.clock)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1])))
