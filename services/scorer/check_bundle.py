"""The child process that loads a model for the first time: `python -m services.scorer.check_bundle FOLDER`.

It reads a question (MessagePack) from stdin and writes one verdict to stdout. Before anything of the bundle is opened
it gives up what it does not need: network (where the kernel lets it), new privileges, memory, time, files to write.
"""

import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path

import msgspec

from shared.core.bundle import RuntimeName

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_BATCH = 1_000


class Question(msgspec.Struct, frozen=True):
    """What to load, what to ask it, and what it may use. `matrix` is float32 (n, d) in row order."""

    runtime: RuntimeName
    matrix: bytes
    rows: int
    memory: int
    seconds: int


class Verdict(msgspec.Struct, frozen=True):
    """The scores (n, k), or why there are none. `microseconds` is the time a record at a batch of 1,000.

    `isolated` says whether there was no network; `peak_mb` is the process's largest resident size.
    """

    scores: list[list[float]] = []
    refused: str = ""
    microseconds: float = 0.0
    isolated: bool = False
    peak_mb: float = 0.0


def drop_rights(memory: int, seconds: int) -> bool:
    """Limit this process for good; called before numpy is imported, since a new namespace wants a single thread.

    Returns:
        Whether the network is gone.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    isolated = bool(libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        low = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (low, low))
    return isolated


def answer(folder: Path, question: Question) -> Verdict:
    """Load the model and score the matrix, once for its answers and then for its speed."""
    # Only now, with the rights dropped, may the libraries come in (numpy starts threads).
    import numpy as np  # noqa: PLC0415 - see above

    from shared.core.errors import ModelRefused  # noqa: PLC0415 - see above
    from shared.core.golden import as_columns  # noqa: PLC0415 - see above
    from shared.runtime.runtimes import load_runtime  # noqa: PLC0415 - see above

    try:
        runtime = load_runtime(question.runtime, folder)
        matrix = np.frombuffer(question.matrix, dtype=np.float32).reshape(question.rows, -1)
        scores = as_columns(runtime.predict(matrix), question.rows)
        many = np.resize(matrix, (_BATCH, matrix.shape[1]))
        best = min(_seconds(lambda: runtime.predict(many)) for _ in range(3))
    except ModelRefused as error:
        return Verdict(refused=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a broken model raises is its refusal
        return Verdict(refused=f"model: it fails on golden records ({type(error).__name__}: {str(error)[:200]})")
    return Verdict(scores=scores.tolist(), microseconds=best / _BATCH * 1e6)


def _seconds(call: object) -> float:
    begin = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - begin


def main() -> int:
    """Answer one question."""
    question = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Question)
    isolated = drop_rights(question.memory, question.seconds)
    # Libraries may print; the verdict must be the only thing on the real stdout.
    out = os.dup(1)
    os.dup2(2, 1)
    verdict = answer(Path(sys.argv[1]), question)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    verdict = msgspec.structs.replace(verdict, isolated=isolated, peak_mb=round(peak, 1))
    os.write(out, msgspec.msgpack.encode(verdict))
    return 0


if __name__ == "__main__":
    sys.exit(main())
