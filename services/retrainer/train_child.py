"""The process of one training: `python -m services.retrainer.train_child ORDER RESULT`.

It ends with whoever started it, within its limits. What it is doing goes to standard output, a JSON line a step; the
answer is one file, whole or not at all.
"""

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from services.retrainer.orders import Line, Order, Outcome
from services.retrainer.registry import registry_of
from services.retrainer.settled import wait_for_archive
from services.retrainer.trainer import Around, train_once
from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.errors import TailraceError
from shared.core.pipeline import PipelineSpec
from shared.runtime.background import give_way
from shared.runtime.clock import SystemClock
from shared.runtime.model_files import state_folder
from shared.runtime.settings import load_settings

_PR_SET_PDEATHSIG = 1
_MB = 1 << 20


def end_with(parent: int) -> None:
    """Be killed when the parent ends, or now, if it has ended."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def limit(memory_mb: int, cpu_seconds: float) -> None:
    """Bound memory (what is written to, not what libraries reserve) and computing time of this process."""
    cores = len(os.sched_getaffinity(0))
    limits = {
        resource.RLIMIT_DATA: memory_mb * _MB,
        resource.RLIMIT_CPU: max(1, round(cpu_seconds * cores)),
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        low = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (low, hard))


def run(order: Order, out: int, mark: Callable[[str], None] = lambda _: None) -> Outcome:
    """Train; every ending that is not a bug is an answer.

    Args:
        order: what to do.
        out: the file descriptor that lines go to.
        mark: called at each named step.
    """

    def say(stage: str, text: str) -> None:
        os.write(out, msgspec.json.encode(Line(stage, text)) + b"\n")

    try:
        settings, _ = load_settings()
        pipeline = load_pipeline(order.pipeline)
        state, cache = state_folder(), Path(os.environ.get("TAILRACE_CACHE") or state_folder() / "cache")
        clock = SystemClock()

        def settle(spec: PipelineSpec, told: Callable[[str], None]) -> None:
            wait_for_archive(spec, settings, told, clock, time.sleep)

        around = Around(settings, registry_of(settings), state, cache, clock, say, time.sleep, settle, mark)
        return train_once(order, pipeline, around)
    except MemoryError:
        return Outcome("failed", "not enough memory: raise retraining.limits.memory_mb, or learn from less")
    except TailraceError as error:
        return Outcome("failed", str(error))
    except Exception as error:  # noqa: BLE001 - a bug in here must not end the service: it is told as it is
        sys.excepthook(type(error), error, error.__traceback__)
        return Outcome("failed", f"{type(error).__name__}: {error}"[:500])


def main(mark: Callable[[str], None] = lambda _: None) -> int:
    """Read the order, limit this process, train, write the answer."""
    end_with(int(os.environ["TAILRACE_TRAINER_PARENT"]))
    give_way()
    order = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Order)
    limits = load_pipeline(order.pipeline).spec.retraining.limits
    limit(limits.memory_mb, limits.time)
    out = os.dup(1)
    os.dup2(2, 1)  # libraries print; lines must be alone
    outcome, result = run(order, out, mark), Path(sys.argv[2])
    beside = result.with_suffix(".part")
    beside.write_bytes(msgspec.json.encode(outcome))
    beside.rename(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
