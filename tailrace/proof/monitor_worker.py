"""An observer of the proof: `python -m tailrace.proof.monitor_worker PIPELINE`. The real wiring.

It hits itself at a step of its delivery when it is told to; PROOF_TRAIL is the folder of such orders. PROOF_PLANTED is
a bug that the proof must find: with `drop` it never sees one label in some hundred, with `double` it sees it twice.
"""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.monitor.observer import main as observer
from services.monitor.observer.step import ObserverStep
from shared.core.ports import Clock, Message, Part, Result, Sink
from shared.runtime import worker
from shared.runtime.delivery import ExactlyOnce
from shared.runtime.watchdog import Watchdog
from shared.runtime.worker import exit_code
from tailrace.proof.trail import ordered

EVERY = 97
LABEL = b'"type":"label"'


def unlucky(message: Message) -> bool:
    """Whether the bug hits this entry; the same at each reading."""
    return message.offset() % EVERY == 0 and LABEL in (message.value() or b"")


class Bugged(ObserverStep):
    """The real step, over other messages than there are."""

    planted = "drop"

    def __call__(self, part: Part) -> Result:
        """See `Step`."""
        messages = list(self._seen(part))
        headers = [m.headers() for m in messages]
        return super().__call__(replace(part, messages=messages, headers=headers, partitions=()))

    def _seen(self, part: Part) -> Iterator[Any]:
        for message in part.messages:
            if not unlucky(message):
                yield message
            elif self.planted == "double":
                yield from (message, message)


def run(pipeline: str) -> None:
    """Observe one pipeline, with what is ordered and planted, until told to stop."""
    folder, slot = Path(os.environ["PROOF_TRAIL"]), int(os.environ["TAILRACE_WORKER__SLOT"])

    def mark(step: str) -> None:
        if ordered(folder, slot, step):
            os.kill(os.getpid(), signal.SIGKILL)

    def exactly(sink: Sink, watchdog: Watchdog, clock: Clock) -> ExactlyOnce:
        return ExactlyOnce(sink, watchdog, clock, mark)

    setattr(worker, "ExactlyOnce", exactly)  # noqa: B010 - a name of a module; the process is ours alone
    if planted := os.environ.get("PROOF_PLANTED", ""):
        Bugged.planted = planted
        setattr(observer, "ObserverStep", Bugged)  # noqa: B010 - the same
    observer.main(pipeline)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: run(sys.argv[1])))
