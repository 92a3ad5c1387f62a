"""A process looked at from outside while it works off a topic: what it committed, its processor time, its memory."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.core.errors import UserError

TICK = os.sysconf("SC_CLK_TCK")
LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds of all threads so far, of one process."""

    at: float
    committed: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Between the first and the last committed batch: records, seconds, processor seconds; and the peak memory (MB)."""

    records: int
    seconds: float
    cpu: float
    rss_mb: float


def measure_run(pid: Callable[[], int | None], committed: Callable[[], int], total: int, timeout: float) -> Measured:
    """Watch until `total` records are committed. What happens before the first commit, start-up, is left out.

    Args:
        pid: of the process; None before it runs, and once it ended.
        committed: records that its group has committed.
        total: when it is done.
        timeout: s for all of it.

    Raises:
        UserError: it ended, or did not finish in time.
    """
    deadline = time.monotonic() + timeout
    first: Usage | None = None
    while True:
        process = pid()
        now = Usage(time.monotonic(), committed(), 0.0 if process is None else cpu_seconds(process))
        if now.committed and first is None:
            first = now
        if first is not None and now.committed >= total and process is not None:
            done = now.committed - first.committed
            return Measured(done, now.at - first.at, now.cpu - first.cpu, peak_mb(process))
        if now.at > deadline:
            raise UserError(
                f"{now.committed:,} of {total:,} records after {timeout:g} s", remedy="see the worker's log"
            )
        time.sleep(LOOK_S)


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process, without those of its children; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


def peak_mb(pid: int) -> float:
    """The most memory a process ever had resident (MB); 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0.0
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmHWM:")), 0.0)
