"""The process of a training that takes its retrainer along: `python -m tests.support.faulty_trainer ORDER RESULT`."""

import os
import signal
import sys

from services.retrainer import train_child
from tests.support.faulty_retrainer import fuse


def mark(name: str) -> None:
    """Kill the retrainer at the chosen step, once; this process ends with it."""
    if fuse(name):
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()


if __name__ == "__main__":
    sys.exit(train_child.main(mark))
