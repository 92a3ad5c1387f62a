"""Several pipelines on one stack: all files checked before anything starts, each one's failures its own afterwards."""

import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from shared.adapters.kafka.table import TableReader
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline
from shared.core.errors import UserError
from shared.core.topics import topic
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.program import Program
from tailrace.stack.ready import is_ready
from tailrace.stack.services import check_service
from tailrace.stack.supervisor import Supervisor

TRAINING_S = 3_600.0
SCORING_S = 60.0
_POLL_S = 0.1
_LONGEST = 300
_PROGRESS = re.compile(r" *[0-9.]+ s  ")  # `tailrace train` says so how long it has been at work


@dataclass(slots=True)
class Wanted:
    """A pipeline and its services that are wanted; `programs` are those that were started for it."""

    pipeline: Pipeline
    services: list[str]
    programs: list[Program] = field(default_factory=list)

    @property
    def name(self) -> str:
        """How its programs, logs and addresses are named."""
        return self.pipeline.folder.name


def wanted(services: Iterable[str]) -> list[Wanted]:
    """Which pipelines are wanted, with their files read and checked.

    Args:
        services: like `scorer:flights`; the same twice counts once.

    Raises:
        UserError: a service, a folder or a file is wrong, or two pipelines would use the same names; all that is wrong
            with all of them at once.
    """
    found: dict[Path, Wanted] = {}
    wrong: dict[str, None] = {}
    for text in services:
        try:
            service, where = check_service(text)
            pipeline = load_pipeline(where)
        except UserError as error:
            wrong[str(error)] = None
            continue
        one = found.setdefault(pipeline.folder, Wanted(pipeline, []))
        if service not in one.services:
            one.services.append(service)
    wrong |= dict.fromkeys(_clashes([one.pipeline for one in found.values()]))
    if wrong:
        raise UserError("\n".join(wrong))
    return list(found.values())


def _clashes(pipelines: Sequence[Pipeline]) -> Iterable[str]:
    """Topics are named by a pipeline's name, programs and logs by its folder's: both must tell pipelines apart."""
    for what, key in (("are both named", _name), ("both have a folder named", _folder)):
        for shared, same in groupby(sorted(pipelines, key=key), key=key):
            twins = [str(one.folder) for one in same]
            if len(twins) > 1:
                yield f"{' and '.join(twins)} {what} {shared}; rename one of them"


def _name(pipeline: Pipeline) -> str:
    return pipeline.spec.name


def _folder(pipeline: Pipeline) -> str:
    return pipeline.folder.name


def has_model(conf: Mapping[str, Any], pipeline: str, timeout: float) -> bool:
    """Whether a version was ever announced to this pipeline's scorers; one that was revoked counts.

    Raises:
        Unavailable: the topic cannot be read.
    """
    with closing(TableReader(conf, topic(pipeline, "models"), timeout)) as reader:
        return any(True for _ in reader.to_end())


def train(one: Wanted, endpoints: Endpoints, state: Path, supervisor: Supervisor) -> str:
    """Train a pipeline in a process of its own, so that its memory is gone afterwards.

    Returns:
        What the training found, as the command prints it: a line or a few.

    Raises:
        UserError: it failed; carries its reason.
    """
    name = f"train-{one.name}"
    log = state / "logs" / f"{name}.log"
    log.unlink(missing_ok=True)  # its last line is the reason
    program = Program(
        name,
        (sys.executable, "-m", "tailrace.cli.main", "train", str(one.pipeline.folder)),
        env={**endpoints.env(), "TAILRACE_STATE": str(state), "PYTHONUNBUFFERED": "1"},
        restart=False,
    )
    status = supervisor.run(program, TRAINING_S)
    said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    last = said[-1].strip()[:_LONGEST] if said else ""
    if status.last_code:
        raise UserError(last.removeprefix("tailrace: ") or status.last_exit, remedy=f"see {log}")
    return "\n".join(line.strip() for line in said if not _PROGRESS.match(line))


def await_scoring(programs: Sequence[Program], timeout: float) -> bool:
    """Wait until all of these programs own partitions and have what they need; false if they have not in time."""
    deadline = time.monotonic() + timeout
    while not all(is_ready(program.address) for program in programs):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
