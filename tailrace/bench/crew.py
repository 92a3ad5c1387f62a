"""Several of our workers on one group: started, balanced, asked who owns what, restarted one by one."""

import time
from collections.abc import Sequence

from shared.core.errors import UserError
from tailrace.bench.scrape import Scraped
from tailrace.stack.program import Program
from tailrace.stack.ready import is_ready
from tailrace.stack.supervisor import Supervisor

READY_S = 120.0
_LOOK_S = 0.1


class Crew:
    """Workers by slot.

    Args:
        supervisor: runs them.
        programs: one a slot.
        partitions: of their topic.
    """

    def __init__(self, supervisor: Supervisor, programs: Sequence[Program], partitions: int) -> None:
        self._supervisor, self._programs, self._partitions = supervisor, programs, partitions
        self._up: set[int] = set()

    def start(self, *slots: int) -> float:
        """Start workers and wait until every worker owns its fair share; gives the seconds that it took.

        Raises:
            UserError: they do not come to that in time.
        """
        began = time.monotonic()
        self._supervisor.start(*(self._programs[slot] for slot in slots))
        self._up |= set(slots)
        least = self._partitions // len(self._up)
        while not self._balanced(least):
            if time.monotonic() - began > READY_S:
                raise UserError(f"{len(self._up)} workers own {self.spread()} partitions", remedy="see their logs")
            time.sleep(_LOOK_S)
        return time.monotonic() - began

    def stop(self, *slots: int) -> float:
        """Stop workers in order; gives the seconds until they were gone."""
        began = time.monotonic()
        self._supervisor.stop([self._programs[slot].name for slot in slots])
        self._up -= set(slots)
        return time.monotonic() - began

    def stop_all(self) -> None:
        """Stop whoever runs."""
        self.stop(*self._up)

    def spread(self) -> list[int]:
        """How many partitions each running worker owns, by slot."""
        return [int(scraped.total("tailrace_partitions_assigned")) for scraped in self._asked().values()]

    def records(self) -> list[int]:
        """How many records each running worker has committed since its start, by slot."""
        return [int(scraped.total("tailrace_records_total")) for scraped in self._asked().values()]

    def owners(self) -> dict[int, int]:
        """The slot that owns each partition, of those with a committed record."""
        asked = self._asked()
        return {p: slot for slot, one in asked.items() for p in one.partitions("tailrace_committed_offset")}

    def _balanced(self, least: int) -> bool:
        spread = self.spread()
        fair = sum(spread) == self._partitions and min(spread) >= least
        return fair and all(is_ready(self._programs[slot].address) for slot in self._up)

    def _asked(self) -> dict[int, Scraped]:
        return {slot: Scraped(self._programs[slot].address) for slot in sorted(self._up)}
