"""A real observer whose loop stands still at some entries: `python -m tests.support.stalled_observer PIPELINE`.

The same wiring as `services.monitor.observer.main`; an entry that holds STALL stands for whatever never returns. The
process lives on and answers; its loop counts as dead after seconds instead of a minute and a half.
"""

import sys
import threading

from services.monitor.observer import main as observer
from services.monitor.observer.step import ObserverStep
from shared.core.ports import Part, Result
from shared.runtime import worker
from shared.runtime.worker import exit_code

STALL, BOUND = b"never-ending", 4.0


class Stalled(ObserverStep):
    """The real step, until it meets such an entry."""

    def __call__(self, part: Part) -> Result:
        """See `Step`."""
        if any(STALL in (message.value() or b"") for message in part.messages):
            threading.Event().wait()
        return super().__call__(part)


if __name__ == "__main__":
    observer.ObserverStep = Stalled  # type: ignore[attr-defined] # the one seam; the process is ours alone
    worker.MAX_TURN_AGE = BOUND
    sys.exit(exit_code(lambda: observer.main(sys.argv[1])))
