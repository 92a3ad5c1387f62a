"""Work that nobody waits for gives way to work that somebody waits for."""

import os

NICENESS = 10  # a tenth of the processor where a scorer wants it too, all of it where none does


def give_way() -> None:
    """Lower the priority of this process, and of those that it will start, below that of scorers and brokers."""
    os.nice(NICENESS)
