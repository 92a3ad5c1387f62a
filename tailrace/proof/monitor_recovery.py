"""How long one observer needs to know everything again: with nothing, with checkpoints, with its own disk."""

import shutil
import time
from collections.abc import Callable, Iterator

from tailrace.proof.monitor_crew import CHECKPOINT_S, DONE_S, Crew
from tailrace.proof.monitor_verdict import Recovery
from tailrace.proof.scene import Say

# The first of them leaves a whole disk behind, and checkpoints of all partitions: the next ones find those.
SOURCES = ("journal", "checkpoint", "disk")


def recoveries(crew: Crew, partitions: int, send: Callable[[], None], say: Say) -> Iterator[Recovery]:
    """Stop all observers and start one, three times, each time with more left to start from.

    Args:
        crew: with everything folded.
        partitions: of the journal.
        send: commits an entry in each partition.
        say: told of each.

    Raises:
        Unavailable: an observer does not come to the end of the journal.
    """
    for source in SOURCES:
        if source == "checkpoint":
            _save(crew, partitions, send)
        crew.stop(*(crew.observer(slot) for slot in sorted(crew.observers)))
        if source != "disk":
            shutil.rmtree(crew.state / "observer", ignore_errors=True)
        if source == "journal":
            shutil.rmtree(crew.checkpoints, ignore_errors=True)
        crew.rebuilt()
        send()
        began = time.monotonic()
        crew.start_observer(0)
        crew.wait_done()
        seconds = time.monotonic() - began
        told = crew.rebuilt()
        found = "+".join(sorted({one["source"] for one in told}))
        records = sum(one["records"] for one in told)
        rebuilding = sum(one["seconds"] for one in told)
        say(f"recovery from {found}: {seconds:.1f} s")
        yield Recovery(found, round(seconds, 2), round(rebuilding, 3), records, len(told), crew.ids(0))


def _save(crew: Crew, partitions: int, send: Callable[[], None]) -> None:
    """Wait until every partition has a checkpoint of what it knows now."""
    since, sent = time.time(), time.monotonic()
    send()

    def saved() -> bool:
        nonlocal sent
        if time.monotonic() - sent > 2 * CHECKPOINT_S:  # what does not change is not saved again
            send()
            sent = time.monotonic()
        return len(crew.saved(since)) == partitions

    crew.until(saved, "a checkpoint of every partition", DONE_S)
