"""A real retrainer that dies once at each step that is listed: `python -m tests.support.faulty_retrainer PIPELINE`.

TAILRACE_TEST_FAULT lists steps: `train`, `gate`, `log` and `register` are the training's (which takes the retrainer
along), `announce` and `alias` the retrainer's own. Each happens once: a file in the folder TAILRACE_TEST_FUSE says so.
"""

import os
import signal
import sys
from pathlib import Path

from services.retrainer.serve import main
from shared.runtime.worker import exit_code

CHILD = "tests.support.faulty_trainer"


def fuse(name: str) -> bool:
    """Whether to die at this step now."""
    if name not in os.environ["TAILRACE_TEST_FAULT"].split(","):
        return False
    try:
        (Path(os.environ["TAILRACE_TEST_FUSE"]) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def mark(name: str) -> None:
    """Die here, once."""
    if fuse(name):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1], child=CHILD, mark=mark)))
