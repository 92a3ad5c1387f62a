"""A real archiver that kills itself: `python -m tests.support.killed_archiver PIPELINE PLAN`.

The same wiring as `services.retrainer.archive.main`. Each life takes the first line of the file PLAN, such as
`written 3`, and ends, as by kill -9, the third time that this step of a write is reached; without a line it lives on.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from services.retrainer.archive import main as archiver
from shared.runtime.worker import exit_code


def killing(plan: Path) -> Callable[[str], None]:
    """The mark of this life."""
    first, *rest = plan.read_text().splitlines() or [""]
    plan.write_text("\n".join(rest))
    step, _, times = first.partition(" ")
    left = [int(times or 0)]

    def mark(name: str) -> None:
        left[0] -= name == step
        if step and left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return mark


if __name__ == "__main__":
    sys.exit(exit_code(lambda: archiver.main(sys.argv[1], killing(Path(sys.argv[2])))))
