"""Saying on `<pipeline>.models` that a bundle is ready, on a real Kafka."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from services.retrainer.rollout.books import Change, insistently
from services.retrainer.rollout.wiring import kafka_books
from shared.adapters.kafka.config import client_config
from shared.core.announcing import next_rollout
from shared.core.pipeline import PipelineSpec
from shared.core.plans import PlanState
from shared.core.ports import Clock
from shared.core.records import BundleRef, Rollout
from shared.core.rollout import RolloutTable
from shared.runtime.settings import Settings, read_secret


@contextmanager
def announcing(spec: PipelineSpec, settings: Settings, clock: Clock) -> Iterator[Callable[[BundleRef], Rollout]]:
    """Open the topic, before the training, so that an hour is not lost on a broker that is not there.

    Raises:
        Unavailable: Kafka does not answer, or the topic does not exist.
    """
    conf = client_config(settings.kafka, read_secret)
    with ExitStack() as stack:
        books = stack.enter_context(closing(kafka_books(spec, settings, conf, clock, stack)))

        def announce(ref: BundleRef) -> Rollout:
            """Takes the turn of whoever else makes epochs: of two, neither may get the other's number."""
            said: list[Rollout] = []

            def decide(table: RolloutTable, _: PlanState) -> Change:
                said[:] = [next_rollout(spec.name, table, ref, int(clock.time() * 1000))]
                return Change(() if table.get(said[0].epoch) == said[0] else said)

            insistently(books, decide)
            return said[0]

        books.table()
        yield announce
