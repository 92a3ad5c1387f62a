"""An analyst whose turns never end while a file stands there: `python -m tests.support.stuck_analyst PIPELINE`."""

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from services.monitor.analyst import main as analyst
from services.monitor.analyst.ledger import KafkaLedger, Remembered
from shared.core.ports import Block
from shared.runtime.worker import exit_code

FILE = "TEST_STUCK_WHILE"


class StuckLedger(KafkaLedger):
    """Hangs where a client's call would."""

    def write(self, kept: Remembered, blocks: Sequence[Block]) -> None:
        """See `Ledger`; or never return."""
        while Path(os.environ[FILE]).exists():
            threading.Event().wait()
        super().write(kept, blocks)


if __name__ == "__main__":
    analyst.KafkaLedger = StuckLedger  # type: ignore[attr-defined] # the wiring takes the class by name
    sys.exit(exit_code(lambda: analyst.main(sys.argv[1])))
