"""A real scorer worker with one fault inside: `python -m tests.support.faulty_scorer PIPELINE`.

The same wiring as `services.scorer.main`; only the delivery's `mark` is taken, so no service has a branch for tests.
TAILRACE_TEST_FAULT is `kill:STEP` (SIGKILL to itself there), `stop:STEP` (SIGSTOP, until somebody wakes it) or
`hang:STEP` (never comes back from there). It happens once: the file TAILRACE_TEST_FUSE then holds the process id.
"""

import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

from services.scorer.main import main
from shared.runtime import worker
from shared.runtime.delivery import ExactlyOnce
from shared.runtime.worker import exit_code

AFTER = 1  # deliveries that go well before the fault; a worker that is behind makes few of them


def fault(kind: str, step: str, fuse: Path) -> partial[ExactlyOnce]:
    """Deliveries that break once at a step."""
    passed = 0

    def mark(name: str) -> None:
        nonlocal passed
        if name != step:
            return
        passed += 1
        if passed <= AFTER:
            return
        try:
            fuse.touch(exist_ok=False)
        except FileExistsError:
            return
        fuse.write_text(str(os.getpid()))
        if kind == "hang":
            threading.Event().wait()
        os.kill(os.getpid(), signal.SIGKILL if kind == "kill" else signal.SIGSTOP)

    return partial(ExactlyOnce, mark=mark)


if __name__ == "__main__":
    chosen, _, at = os.environ["TAILRACE_TEST_FAULT"].partition(":")
    made = fault(chosen, at, Path(os.environ["TAILRACE_TEST_FUSE"]))
    worker.ExactlyOnce = made  # type: ignore[attr-defined,assignment] # the one seam; the process is ours alone
    sys.exit(exit_code(lambda: main(sys.argv[1])))
