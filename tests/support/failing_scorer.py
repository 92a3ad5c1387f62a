"""A real scorer worker with a model that fails after a while: `python -m tests.support.failing_scorer PIPELINE`.

Version 3 (or TAILRACE_TEST_FAILING) passes every check, scores its first records, and then says that nothing is a
number.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from services.scorer import main as scorer
from services.scorer import models
from shared.core.bundle import MANIFEST, RuntimeName
from shared.core.bundle_checks import parse_manifest
from shared.core.ports import Runtime
from shared.runtime.runtimes import load_runtime
from shared.runtime.worker import exit_code

VERSION, WHILE = os.environ.get("TAILRACE_TEST_FAILING", "3"), 300  # records


class ForAWhile:
    """A model that is good at first."""

    def __init__(self, inner: Runtime) -> None:
        self._inner, self._n = inner, 0

    def predict(self, matrix: Any) -> Any:
        """See `Runtime`."""
        self._n += len(matrix)
        said = self._inner.predict(matrix)
        return np.full_like(said, np.nan) if self._n > WHILE else said


def load(runtime: RuntimeName, folder: Path) -> Runtime:
    """See `load_runtime`."""
    made = load_runtime(runtime, folder)
    return ForAWhile(made) if parse_manifest((folder / MANIFEST).read_bytes()).version == VERSION else made


if __name__ == "__main__":
    seam: dict[str, Any] = {"load_runtime": load}
    vars(models).update(seam)  # the process is ours alone
    sys.exit(exit_code(lambda: scorer.main(sys.argv[1])))
