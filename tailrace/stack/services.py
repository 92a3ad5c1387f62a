"""Our own services as supervised programs: `scorer:flights` becomes the programs that score the flights."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.adapters.pipeline_yaml import find, load_pipeline
from shared.core.errors import UserError
from tailrace.stack.cache import cache_folder
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import LOOPBACK, reachable
from tailrace.stack.program import Program

# A worker ends its batch and its transaction in order: more time than a server needs.
_STOP_S = 20.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a maker of programs is told.

    Attributes:
        pipeline: its folder.
        endpoints: where the servers are.
        state: the state folder.
        workers: how many processes, where a service has several.
        port: gives a free port for a program of that name, the same at each start.
        extra: further arguments.
    """

    pipeline: Path
    endpoints: Endpoints
    state: Path
    workers: int
    port: Callable[[str], int]
    extra: tuple[str, ...] = ()


def _worker(order: Order, module: str, name: str, slot: int) -> Program:
    port = order.port(name)
    return Program(
        name,
        (sys.executable, "-m", module, str(order.pipeline), *order.extra),
        env={
            **order.endpoints.env(),
            "TAILRACE_WORKER__SLOT": str(slot),
            "TAILRACE_HTTP__PORT": str(port),
            "TAILRACE_STATE": str(order.state),
            "TAILRACE_CACHE": str(cache_folder()),  # a training reads the history that is there already
            "PYTHONUNBUFFERED": "1",
        },
        ready=lambda: reachable(LOOPBACK, port, 0.2),
        stop_timeout=_STOP_S,
        address=f"http://{LOOPBACK}:{port}",
    )


def scorers(order: Order) -> list[Program]:
    """One scorer process a worker, each with a slot (and so a transactional id) of its own."""
    name = order.pipeline.name
    return [_worker(order, "services.scorer.main", f"scorer-{name}-{slot}", slot) for slot in range(order.workers)]


def shadow(order: Order) -> list[Program]:
    """The process that scores what is in the journal with a challenger that is only tried."""
    return [_worker(order, "services.scorer.shadow.main", f"shadow-{order.pipeline.name}", 0)]


def feature_writer(order: Order) -> list[Program]:
    """The process that writes features from their topic into Redis."""
    return [_worker(order, "services.ingest.features.main", f"features-{order.pipeline.name}", 0)]


def aggregates(order: Order) -> list[Program]:
    """The two processes that keep a pipeline's aggregates from its records; none where it declares no aggregates."""
    if not any(lookup.aggregates for lookup in load_pipeline(str(order.pipeline)).spec.lookups.values()):
        return []
    module, name = "services.ingest.aggregates", order.pipeline.name
    return [_worker(order, f"{module}.{part}.main", f"aggregates-{name}-{part}", 0) for part in ("route", "fold")]


def label_router(order: Order) -> list[Program]:
    """The process that checks labels and copies them next to their observations."""
    return [_worker(order, "services.ingest.labels.main", f"labels-{order.pipeline.name}", 0)]


def observers(order: Order) -> list[Program]:
    """The process that joins predictions with labels and keeps the scorecards."""
    return [_worker(order, "services.monitor.observer.main", f"observer-{order.pipeline.name}", 0)]


def analyst(order: Order) -> list[Program]:
    """The process that looks at what observers publish, and decides."""
    return [_worker(order, "services.monitor.analyst.main", f"analyst-{order.pipeline.name}", 0)]


def archiver(order: Order) -> list[Program]:
    """The process that archives outcomes."""
    return [_worker(order, "services.retrainer.archive.main", f"archiver-{order.pipeline.name}", 0)]


def retrainer(order: Order) -> list[Program]:
    """The process that trains on request, and judges."""
    return [_worker(order, "services.retrainer.serve", f"retrainer-{order.pipeline.name}", 0)]


def rollout(order: Order) -> list[Program]:
    """The process that brings versions into force, and takes them back."""
    return [_worker(order, "services.retrainer.rollout.main", f"rollout-{order.pipeline.name}", 0)]


SERVICE_PROGRAMS: dict[str, Callable[[Order], list[Program]]] = {
    "scorer": scorers,
    "shadow": shadow,
    "features": feature_writer,
    "aggregates": aggregates,
    "labels": label_router,
    "observer": observers,
    "analyst": analyst,
    "retrainer": retrainer,
    "rollout": rollout,
    "archiver": archiver,
}


def pipeline_folder(name: str) -> Path:
    """The folder of a pipeline, found where every command looks for it.

    Raises:
        UserError: if no `pipeline.yaml` is there; names the places.
    """
    return find(name).parent.absolute()


def check_service(text: str) -> tuple[str, str]:
    """Split `scorer:flights` into the service and the pipeline.

    Raises:
        UserError: if there is no such service, or no such pipeline.
    """
    service, _, pipeline = text.partition(":")
    if service not in SERVICE_PROGRAMS or not pipeline:
        known = ", ".join(f"{one}:PIPELINE" for one in SERVICE_PROGRAMS)
        raise UserError(f"{text} is no service", remedy=f"one of kafka, redis, mlflow, {known}")
    pipeline_folder(pipeline)
    return service, pipeline
