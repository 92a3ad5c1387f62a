"""An observer with a planted bug, that the proof must find: `python -m tailrace.proof.monitor_worker PIPELINE`.

PROOF_PLANTED is `drop`: it never sees one label in some hundred; or `double`: it sees such a label twice.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from services.monitor.observer import main as observer
from services.monitor.observer.step import ObserverStep
from shared.core.ports import Message, Part, Result
from shared.runtime.worker import exit_code

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
        return super().__call__(replace(part, messages=messages, headers=[m.headers() for m in messages]))

    def _seen(self, part: Part) -> Iterator[Any]:
        for message in part.messages:
            if not unlucky(message):
                yield message
            elif self.planted == "double":
                yield from (message, message)


if __name__ == "__main__":
    Bugged.planted = os.environ["PROOF_PLANTED"]
    setattr(observer, "ObserverStep", Bugged)  # noqa: B010 - a name of a module; the process is ours alone
    sys.exit(exit_code(lambda: observer.main(sys.argv[1])))
