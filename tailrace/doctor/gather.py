"""What the doctor looks at. Every look has an end of its own, and one that fails never stops the others."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.reasons import DeniedError
from shared.adapters.redis_features import RedisReader
from shared.core.errors import TailraceError, Unavailable, UserError
from shared.core.pipeline import PipelineSpec
from shared.runtime.settings import Settings, load_settings, read_secret
from shared.runtime.worker import redis_address
from tailrace.doctor.facts import Beat, Disk, Facts, Origin, Partition, PipelineFacts, Server
from tailrace.doctor.kafka_facts import Lookout
from tailrace.stack.cache import cache_folder
from tailrace.stack.endpoints import SETTINGS
from tailrace.stack.running import running_stack
from tailrace.stack.state import StateFolder, state_folder
from tailrace.stack.status import look

SERVERS_S, PIPELINE_S = 5.0, 8.0  # both together stay below 15 s
ANSWER_S = 2.0  # for one server's sign of life
BETWEEN_S = 2.5  # between two looks at the group: more than two heartbeats, many batches
STATE_MB, CACHE_MB = 1_000, 200
_UNAUTHORISED = (401, 403)


def gather(spec: PipelineSpec | None, where: str = "", environ: Mapping[str, str] | None = None) -> Facts:
    """Look at everything, within 15 s.

    Args:
        spec: the pipeline to look at; None: only servers and machine.
        where: what the user calls it.
        environ: the environment, our own by default.

    Raises:
        UserError: a setting is wrong, so that nobody knows where to look; names it.
    """
    env = dict(os.environ if environ is None else environ)
    ours = running_stack(env)
    settings, warnings = load_settings({**ours, **env})
    folder = StateFolder(state_folder(env))
    conf = {**client_config(settings.kafka, read_secret), "log_level": 2}
    done, _ = together(
        {
            "kafka": lambda: _kafka(conf),
            "redis": lambda: _redis(settings),
            "mlflow": lambda: _mlflow(settings.mlflow.url),
            "stack": lambda: look(folder, time.time()),
        },
        SERVERS_S,
    )
    servers = {
        part: Server(address=address, origin=_origin(part, env, ours, folder), error=error, denied=denied)
        for part, address in _addresses(settings).items()
        for error, denied in [done.get(part, (f"no answer within {SERVERS_S:g} s", False))]
    }
    unread, known = dict[str, str](), None
    if spec is not None:
        known = PipelineFacts(spec=spec, where=where or spec.name)
        if servers["kafka"].error:
            unread = dict.fromkeys(PipelineFacts.__struct_fields__, "Kafka does not answer")
        else:
            known, unread = _pipeline(Lookout(conf, spec), known)
    return Facts(
        now=_now(),
        kafka=servers["kafka"],
        redis=servers["redis"],
        mlflow=servers["mlflow"],
        looked=int(BETWEEN_S * 1_000),
        stack=done.get("stack"),
        disks=_disks(env),
        warnings=tuple(warnings),
        pipeline=known,
        unread=unread,
    )


def together(jobs: Mapping[str, Callable[[], Any]], seconds: float) -> tuple[dict[str, Any], dict[str, str]]:
    """Do jobs at the same time.

    Returns:
        What each gave, and why the others gave nothing: their own words, or that the time was up. A job that hangs is
        left behind on a daemon thread: nothing can interrupt a call into a client library.
    """
    given: dict[str, Any] = {}
    failed: dict[str, str] = {}

    def run(name: str, job: Callable[[], Any]) -> None:
        try:
            given[name] = job()
        except TailraceError as error:
            failed[name] = error.what if isinstance(error, UserError) else str(error)
        except Exception as error:  # noqa: BLE001 - one look that fails, however, never stops the others
            failed[name] = f"{type(error).__name__}: {error}"

    threads = [threading.Thread(target=run, args=job, name=f"doctor-{job[0]}", daemon=True) for job in jobs.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    done, why = dict(given), dict(failed)
    for name in jobs:
        if name not in done:
            why.setdefault(name, f"no answer within {seconds:g} s")
    return done, why


def _pipeline(lookout: Lookout, known: PipelineFacts) -> tuple[PipelineFacts, dict[str, str]]:
    done, unread = together(
        {
            "topics": lookout.topics,
            "rollouts": lookout.rollouts,
            "beats": lambda: _beats(lookout),
            "group": lambda: _group(lookout, known.spec),
            "pinned": lookout.pinned,
            "members": lookout.members,
            "letters": lambda: lookout.letters(_now()),
        },
        PIPELINE_S,
    )
    notes, partitions = done.pop("group", (None, None))
    if "group" in unread:
        unread |= dict.fromkeys(("notes", "partitions"), unread["group"])
    return PipelineFacts(spec=known.spec, where=known.where, notes=notes, partitions=partitions, **done), unread


def _beats(lookout: Lookout) -> tuple[Beat, ...]:
    """Heartbeats, read twice: those that came in between are fresh."""
    before = {(said.worker, at) for at, said in lookout.beats()}
    time.sleep(BETWEEN_S)
    return tuple(Beat(at, said, fresh=(said.worker, at) not in before) for at, said in lookout.beats())


def _group(lookout: Lookout, spec: PipelineSpec) -> tuple[dict[int, Any], tuple[Partition, ...]]:
    """The group's notes, and where it stands, read twice."""
    before = lookout.committed()
    time.sleep(BETWEEN_S)
    after = lookout.committed()
    offsets = {p: after[p][0] if p in after else 0 for p in range(spec.partitions)}
    since, ends = lookout.waiting(offsets), lookout.ends()
    none = (-1, None)
    partitions = tuple(
        Partition(p, before.get(p, none)[0], after.get(p, none)[0], ends[p], since.get(p)) for p in sorted(ends)
    )
    return {p: note for p, (_, note) in after.items()}, partitions


def _kafka(conf: Mapping[str, Any]) -> tuple[str, bool]:
    try:
        KafkaAdmin(conf, timeout=ANSWER_S).broker()
    except UserError as error:
        return error.what, isinstance(error, DeniedError)
    return "", False


def _redis(settings: Settings) -> tuple[str, bool]:
    try:
        reader = RedisReader(redis_address(settings.redis))
        reader.check(ANSWER_S)
        reader.close()
    except UserError as error:
        return error.what, not error.what.startswith("redis.url")  # an address that is none lets nobody in or out
    except (Unavailable, TimeoutError) as error:
        return str(error), False
    return "", False


def _mlflow(url: str) -> tuple[str, bool]:
    try:
        with urlopen(f"{url.rstrip('/')}/health", timeout=ANSWER_S):  # noqa: S310 - the address that is set
            return "", False
    except HTTPError as error:
        return f"HTTP {error.code}", error.code in _UNAUTHORISED
    except (URLError, OSError, ValueError) as error:
        return str(getattr(error, "reason", error)), False


def _addresses(settings: Settings) -> dict[str, str]:
    kafka, redis, mlflow = settings.kafka.bootstrap_servers, settings.redis.url, settings.mlflow.url
    return {"kafka": kafka, "redis": _without_password(redis), "mlflow": _without_password(mlflow)}


def _without_password(url: str) -> str:
    scheme, sep, rest = url.partition("://")
    return f"{scheme}{sep}{rest.rpartition('@')[2]}"


def _origin(part: str, env: Mapping[str, str], ours: Mapping[str, str], folder: StateFolder) -> Origin:
    if env.get(SETTINGS[part]) or env.get("TAILRACE_CONFIG"):
        return "set"
    if SETTINGS[part] in ours:
        return "stack"
    if folder.held():
        return "absent"
    return "killed" if folder.read() is not None else "default"


def _disks(env: Mapping[str, str]) -> tuple[Disk, ...]:
    folders = ((state_folder(env), STATE_MB, "TAILRACE_STATE"), (cache_folder(env), CACHE_MB, "TAILRACE_CACHE"))
    return tuple(Disk(str(folder), _free_mb(folder), wanted, setting) for folder, wanted, setting in folders)


def _free_mb(folder: Path) -> int:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(existing).free // 1_000_000


def _now() -> int:
    return int(time.time() * 1_000)
