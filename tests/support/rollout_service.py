"""The rollout controller of a world, with versions in a real registry; and a process that dies between two barriers.

`python -m tests.support.rollout_service PIPELINE` is the real controller: the first one whose folder has no file `cut`
makes that file and kills itself when one partition has its barrier and the next one is due.
"""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.retrainer.rollout import main as controller
from services.retrainer.rollout import wiring
from shared.adapters.kafka.announcer import Announcer
from shared.adapters.mlflow_models import Registry
from shared.core.records import Headers
from shared.core.registry import CHAMPION, COMPLETE, DIGEST_TAG, STATE_TAG, URI_TAG
from shared.runtime.worker import exit_code
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tests.support.world import World

REAL = "services.retrainer.rollout.main"


def register(world: World, mlflow: str, versions: Sequence[str]) -> Registry:
    """Register the world's versions as complete; the first one is the champion."""
    registry, name = Registry(mlflow), world.spec.name
    for version in versions:
        draft = registry.begin(name, {}, {})
        assert draft.version == version
        known = world.versions.get(version)
        if known is None:
            continue
        for key, value in ((DIGEST_TAG, known.digest), (URI_TAG, known.uri), (STATE_TAG, COMPLETE)):
            registry.tag(name, version, key, value)
    registry.set_alias(name, CHAMPION, versions[0])
    return registry


def start_controller(world: World, mlflow: str, name: str, module: str = REAL) -> None:
    """Start a controller under the world's supervisor."""
    endpoints = Endpoints(kafka=world.kafka, redis=world.redis, mlflow=mlflow)
    order = Order(world.folder, endpoints, world.folder / "state", 1, lambda _: free_port())
    (program,) = SERVICE_PROGRAMS["rollout"](order)
    argv = tuple(module if word == REAL else word for word in program.argv)
    env = {**program.env, **world.extra_env, "TAILRACE_MLFLOW__URL": mlflow}
    world.supervisor.start(replace(program, name=name, argv=argv, env=env))


class CutShort(Announcer):
    """Dies between two barriers, once."""

    marker = Path()

    def send(
        self, topic: str, key: bytes, value: bytes, *, headers: Headers | None = None, partitions: Sequence[int] = ()
    ) -> None:
        """See `Announcer`; barriers go one by one."""
        for n, partition in enumerate(partitions):
            if n and not CutShort.marker.exists():
                CutShort.marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            super().send(topic, key, value, headers=headers, partitions=[partition])


if __name__ == "__main__":
    CutShort.marker = Path(sys.argv[1]) / "cut"
    seam: dict[str, Any] = {"Announcer": CutShort}
    vars(wiring).update(seam)  # the process is ours alone
    sys.exit(exit_code(lambda: controller.main(sys.argv[1])))
