"""Finding one observation in `journal`: by its record's locator at once, by key or id from the newest backwards."""

import time
from collections.abc import Callable, Mapping

from shared.core.ports import Message
from tailrace.why.entries import Blocks, Head, Say, head_of
from tailrace.why.terms import Place

WINDOW = 1_000  # entries a look
BLOCK = 20_000  # entries a step backwards
_EACH = 2.0  # s between two lines of progress

Wanted = Callable[[Message], Head | None]
"""The head of a message that is looked for, else None."""


def at_locator(blocks: Blocks, partition: int, offset: int, bounds: tuple[int, int]) -> Place | None:
    """The observation of the record at `offset` of that partition of `records`.

    An observation goes to its record's partition number, and in the order of records: so the place is found by
    guessing and halving. Labels, ticks and shadows stand between them and are passed over. After an offset reset the
    order is not that of records, and it may be missed.

    Args:
        blocks: of `journal`.
        partition: of both topics.
        offset: in `records`.
        bounds: the journal's first offset there, and the one after its last.
    """
    low, high = bounds
    guess: int | None = None
    while low < high:
        middle = (low + high) // 2 if guess is None else guess
        start = min(max(low, middle - WINDOW // 2), high - 1)
        found = _from(blocks, partition, start, high)
        guess = _guessed(found, offset) if guess is None else None  # by turns, so that bad guesses cost little
        if not found or offset < found[0][1]:
            high = start
        elif offset > found[-1][1]:
            low = found[-1][0] + 1
        else:
            return next((Place(partition, here) for here, at in found if at == offset), None)
    return None


def _guessed(found: list[tuple[int, int]], offset: int) -> int | None:
    """Where it should be if entries go on as densely as in this window."""
    if not found or found[0][1] >= found[-1][1]:
        return None
    (here, at), (last, last_at) = found[0], found[-1]
    return here + (offset - at) * (last - here) // (last_at - at)


def _from(blocks: Blocks, partition: int, start: int, end: int) -> list[tuple[int, int]]:
    """(offset here, offset in `records`) of the first window from `start` on that has an observation."""
    for begin in range(start, end, WINDOW):
        messages = blocks.block(partition, begin, min(begin + WINDOW, end))
        heads = [(m.offset(), head_of(m)) for m in messages]
        found = [(here, head.prediction.at[1]) for here, head in heads if head is not None and head.prediction]
        if found:
            return found
    return []


def newest(blocks: Blocks, marks: Mapping[int, tuple[int, int]], wanted: Wanted, say: Say) -> Place | None:
    """The newest observation that is looked for, in these partitions: from their ends to their starts, side by side.

    Args:
        blocks: of `journal`.
        marks: of the partitions to look at.
        wanted: what is looked for.
        say: told now and then how much was looked at.
    """
    ends = {partition: end for partition, (start, end) in marks.items() if end > start}
    whole = max(sum(ends[p] - marks[p][0] for p in ends), 1)
    told, looked = time.monotonic(), 0
    while ends:
        for partition, end in sorted(ends.items()):
            start = max(marks[partition][0], end - BLOCK)
            for message in reversed(blocks.block(partition, start, end)):
                if wanted(message) is not None:
                    return Place(partition, message.offset())
            looked += end - start
            ends[partition] = start
            if time.monotonic() - told > _EACH:
                told = time.monotonic()
                say(f"looked at {looked:,} of {whole:,} entries of the journal")
        ends = {partition: end for partition, end in ends.items() if end > marks[partition][0]}
    return None
