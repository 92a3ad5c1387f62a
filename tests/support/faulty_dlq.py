"""`tailrace dlq replay` with a signal inside: `python -m tests.support.faulty_dlq dlq replay PIPELINE ...`.

TAILRACE_TEST_FAULT is `kill:STEP`, `stop:STEP` (SIGSTOP, until somebody wakes it) or `int:STEP` (Ctrl-C); it happens at
the second delivery, of 40 letters each. `none:` only makes deliveries small.
"""

import os
import signal
from functools import partial

from services.ingest.dlq import main as wiring
from services.ingest.dlq import replayer
from tailrace.cli.main import main

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "int": signal.SIGINT}

if __name__ == "__main__":
    kind, _, step = os.environ.pop("TAILRACE_TEST_FAULT").partition(":")
    passed: list[str] = []

    def mark(name: str) -> None:
        """Break once."""
        passed.append(name)
        if kind in SIGNALS and name == step and passed.count(step) == 2:
            os.kill(os.getpid(), SIGNALS[kind])

    replayer.CHUNK = 40
    wiring.replay_letters = partial(wiring.replay_letters, mark=mark)  # the one seam
    main()
