"""A scorer of the proof: `python -m tailrace.proof.challengers_worker scorer|shadow PIPELINE`. The real wiring.

Models are plain data, so what goes wrong after a while is put in where a bundle becomes a runtime. PROOF_FAULTS says
which version is bad how: `{"5": "memory-leak"}`; PROOF_SHARE how many workers there are of this kind, who share the
records after which it begins. No service has a branch for proofs.
"""

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec
import numpy as np

from services.scorer import main as scorer
from services.scorer import models
from services.scorer.shadow import main as shadow
from shared.core.bundle import MANIFEST, RuntimeName
from shared.core.bundle_checks import parse_manifest
from shared.core.ports import Runtime
from shared.runtime.runtimes import load_runtime
from shared.runtime.worker import exit_code

FAULTS, SHARE = "PROOF_FAULTS", "PROOF_SHARE"
WHILE = 1_000  # records, over all workers
SLOW = 0.02  # s a record
MEGABYTE, MOST = 1 << 20, 1_500  # a record; and what is kept at most, so that a proof does not end its machine


class Leak:
    """Keeps memory for what it is told of, in a thread of its own: touching it takes time, and would show as slowness.

    The thread ends with whoever owns it.
    """

    def __init__(self) -> None:
        self._wanted: SimpleQueue[int] = SimpleQueue()
        self.kept: list[bytes] = []
        threading.Thread(target=_fill, args=(self._wanted, weakref.ref(self)), name="leak", daemon=True).start()

    def grow(self, n: int) -> None:
        """For n records more."""
        self._wanted.put(n)

    def __del__(self) -> None:
        self._wanted.put(-1)


def _fill(wanted: SimpleQueue[int], owner: weakref.ref[Leak]) -> None:
    while (n := wanted.get()) >= 0:
        for _ in range(n):
            if (leak := owner()) is None:
                return
            if len(leak.kept) < MOST:
                leak.kept.append(b"x" * MEGABYTE)
            del leak


class Failing:
    """A model that is good at first.

    Args:
        inner: the good model.
        fault: what becomes of it.
        well: records that it scores before.
    """

    def __init__(self, inner: Runtime, fault: str, well: int) -> None:
        self._inner, self._fault, self._well, self._n = inner, fault, well, 0
        self._leak = Leak() if fault == "memory-leak" else None

    def predict(self, matrix: Any) -> Any:
        """See `Runtime`."""
        self._n += len(matrix)
        late = self._n > self._well
        if self._fault == "slow-after-1000" and late:
            time.sleep(SLOW * len(matrix))
        if self._leak is not None:
            self._leak.grow(len(matrix))
        said = self._inner.predict(matrix)
        return np.full_like(said, np.nan) if self._fault == "nan-after-a-while" and late else said


def loading(
    faults: dict[str, str], load: Callable[[RuntimeName, Path], Runtime], well: int = WHILE
) -> Callable[..., Runtime]:
    """`load`, whose models of these versions fail after `well` records."""

    def loaded(runtime: RuntimeName, folder: Path) -> Runtime:
        made = load(runtime, folder)
        version = parse_manifest((folder / MANIFEST).read_bytes()).version
        return Failing(made, faults[version], well) if version in faults else made

    return loaded


def run(role: str, pipeline: str) -> None:
    """Be a scorer or a shadow worker of one pipeline until told to stop."""
    faults = msgspec.json.decode(os.environ.get(FAULTS, "{}"), type=dict[str, str])
    well = WHILE // int(os.environ.get(SHARE, "1"))
    seam: dict[str, Any] = {"load_runtime": loading(faults, load_runtime, well)}
    vars(models).update(seam)  # the process is ours alone
    (shadow.main if role == "shadow" else scorer.main)(pipeline)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: run(sys.argv[1], sys.argv[2])))
