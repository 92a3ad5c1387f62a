"""What the proof's workers write down of themselves: each attempt at a delivery, and each fault that hit one.

One file a slot, one JSON line an entry, written before the attempt begins: a killed process has said what it was at.
"""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

HEADER = "proof-attempt"  # on every message that a worker of the proof writes
STEPS = ("begun", "produced", "flushed", "offsets_sent", "committed")
TAKEN = "taken"  # before the first of them: a batch is in hand, nothing is begun

What = Literal["began", "committed", "failed", "fault", "woke"]
_encode = msgspec.json.encode


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry. `at` is Unix time in s; `counts` has messages by topic, `offsets` where the attempt would go on.

    `sure` of a failed attempt: it never came to the commit, so nothing of it may ever be seen.
    """

    what: What
    at: float
    slot: int
    pid: int
    attempt: str = ""
    counts: dict[str, int] = {}
    offsets: dict[int, int] = {}
    sure: bool = False
    text: str = ""


class Trail:
    """Writes a worker's entries.

    Args:
        folder: of all trails.
        slot: of this worker.
    """

    def __init__(self, folder: Path, slot: int) -> None:
        self.slot, self._pid = slot, os.getpid()
        self._file = os.open(folder / f"{slot}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def tell(
        self,
        what: What,
        *,
        attempt: str = "",
        counts: Mapping[str, int] | None = None,
        offsets: Mapping[int, int] | None = None,
        sure: bool = False,
        text: str = "",
    ) -> None:
        """Write one entry; it outlives the process."""
        told = Told(
            what, time.time(), self.slot, self._pid, attempt, dict(counts or {}), dict(offsets or {}), sure, text
        )
        os.write(self._file, _encode(told) + b"\n")


def read_trails(folder: Path) -> Iterator[Told]:
    """All entries of all workers; a slot's are in order."""
    for path in sorted(folder.glob("*.jsonl")):
        yield from read_on(path, 0)


def read_on(path: Path, start: int) -> Iterator[Told]:
    """The entries of one trail from a byte on."""
    if not path.exists():
        return
    decode = msgspec.json.Decoder(Told).decode
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            yield decode(line)


def trail_of(folder: Path, slot: int) -> tuple[Path, int]:
    """The trail of a slot, and how long it is now, bytes."""
    path = folder / f"{slot}.jsonl"
    return path, path.stat().st_size if path.exists() else 0


def order(folder: Path, slot: int, fault: str) -> None:
    """Ask the worker of a slot for a fault at a step, e.g. `kill:flushed`; it happens once."""
    beside = folder / f"{slot}.asked"
    beside.write_text(fault)
    beside.rename(folder / f"{slot}.order")


def withdraw(folder: Path, slot: int) -> bool:
    """Take an order back; False where the worker has taken it already."""
    try:
        (folder / f"{slot}.order").unlink()
    except FileNotFoundError:
        return False
    return True


def ordered(folder: Path, slot: int, step: str) -> str:
    """The worker's side: the fault that is ordered for this step, taken; empty where there is none."""
    path = folder / f"{slot}.order"
    try:
        text = path.read_text()
        if text.partition(":")[2] != step:
            return ""
        path.unlink()
    except FileNotFoundError:
        return ""
    return text.partition(":")[0]
